"""The letter that comes with a startup kit, for whoever runs the contributor's network and machines."""

from __future__ import annotations

from medforge.proto.address import split_address
from medforge.proto.kit import CA_FILE, CARD_FILE, CERTIFICATE_FILE, CERTIFICATE_KEY_FILE, SIGNING_KEY_FILE, KitCard

_CAME_ALONG = (
    "Keep the two secret files readable by one account only (`chmod 600`), and out of mail and shared folders."
)
_STAYED = """The two secret files are not among what the forge sent: `medforge request` made them on your machine, which
they never leave. Copy the other files to them. Keep them readable by one account only (`chmod 600`)."""


def readme(card: KitCard, keys_stayed: bool = False) -> str:
    """Write the letter as Markdown; `keys_stayed` where the contributor has made the private keys."""
    host, port = split_address(card.address)
    return f"""# MedForge startup kit of {card.name.display or card.contributor}

With this kit, {card.name} can contribute to one forge: a server that merges what several hospitals have trained
into one model. Training runs on your own machines. What leaves them is a trained plugin, a few learned images per
class, and a manifest; no image of a patient is ever sent.

## For your network

- One outgoing TCP connection to **{host}, port {port}**. Nothing needs to be opened inwards. The base module, which
  others fetch from its publisher, comes over the same connection (`medforge base fetch --kit KIT --out BASE`).
- It is TLS 1.2 or 1.3 with certificates on both sides. A firewall that opens TLS breaks it: exempt this address.
- A proxy is used if the environment variable `https_proxy` or `HTTPS_PROXY` (`http://HOST:PORT`) names one.

## What is in this directory

| file | what it is | |
|---|---|---|
| `{CARD_FILE}` | whose kit this is, and for which forge | not secret |
| `{CA_FILE}` | the certificate by which the forge proves itself | not secret |
| `{CERTIFICATE_FILE}` | your certificate, valid until {card.expires} | not secret |
| `{CERTIFICATE_KEY_FILE}` | the private key of your certificate | **secret** |
| `{SIGNING_KEY_FILE}` | the private key that signs what you contribute | **secret** |

{_STAYED if keys_stayed else _CAME_ALONG}
If either may have become known to others, tell whoever runs the forge: they revoke the kit at once and make you a new
one.

## What to run

The kit's directory is called `KIT` here. First see whether everything is ready; every problem comes with its remedy:

```sh
medforge doctor --kit KIT
```

Then contribute (training, distillation, check and upload; run it again after any interruption and it goes on):

```sh
medforge contribute folder:/path/to/images --workspace ./work --task TASK --kit KIT
```

And see what has become of the contribution:

```sh
medforge status --workspace ./work --kit KIT
```

To look at everything before anything is sent, add `--no-push`; `medforge push --workspace ./work --kit KIT` then sends
it. A push that breaks off resumes by itself. Nothing in `./work` is deleted, and `receipt.json` there
is the forge's signed word that it keeps your contribution.

## Whom to ask

Whoever sent you this kit runs the forge or knows who does. They will want to know the forge's name, which is
`{card.forge}`, and what `medforge doctor --kit KIT` prints. It prints no secrets.
"""
