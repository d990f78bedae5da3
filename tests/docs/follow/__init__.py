"""Follow how-tos word for word: every shell block, in order, on machines that have nothing but a cable between them.

A page that is followed begins with ``<!-- follow: at=PLACE -->``. From there on every ``sh`` block is typed at that
place as it stands; what differs is said behind the fence, or in a comment that readers do not see:

- ```` ```sh at=hospital ````: typed at another place.
- ```` ```sh terminal=serve ````: typed in a terminal of its own, where it runs until
  ``<!-- follow: ctrl-c serve -->``.
- ```` ```sh not-followed="needs systemd" ````: not run, and listed with the reason at the end.
- ```` ```text ```` behind a block: what it prints. ``…`` stands for anything in a line, alone for any lines.
- ``<!-- follow: hand-over NAME from=PATH -->`` and ``<!-- follow: wait-for NAME to=PATH -->``: somebody brings a file,
  or a directory, from one place to another; without a path, the word that it is done.

Several pages are followed as by several people: each until it waits for what another one hands over.

    python -m tests.docs.follow how-to-run-a-forge how-to-join-as-a-hospital how-to-back-up-and-upgrade
"""
