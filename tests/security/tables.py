"""Which tests keep what an attack on the project found: what held, and what was mended."""

Tests = tuple[str, ...]

_AUTHORISATION = "tests/aggregator/server/test_authorisation.py"
_TLS = "tests/proto/test_remote_tls.py"
_FUZZ = "tests/fuzz/test_findings.py"
_NONSENSE = "tests/aggregator/forge/test_nonsense.py"
_RANGES = "tests/aggregator/forge/test_range_limits.py"
_CONTRADICTION = "tests/aggregator/main_branch/contradiction/test_main_branch.py"

HELD: dict[str, Tests] = {
    "withdrawing or signing in another's name": (
        f"{_AUTHORISATION}::TestWhoMaySayWhat::test_another_may_not_even_with_the_contributors_signature",
        f"{_AUTHORISATION}::TestWhoMaySayWhat::test_unsigned_or_signed_for_something_else_is_refused",
        f"{_AUTHORISATION}::TestSubmit::test_under_another_name",
        f"{_AUTHORISATION}::test_only_the_contributor_withdraws_and_erasing_must_be_meant",
        f"{_AUTHORISATION}::test_over_loopback_plaintext_an_invited_name_still_needs_its_signature",
        "tests/aggregator/server/test_reviews.py::test_nobody_reviews_in_anothers_name",
    ),
    "direct downloads of others' blobs": (
        "tests/aggregator/server/test_possession.py::test_naming_anothers_blobs_gives_nothing",
        f"{_AUTHORISATION}::test_a_kit_goes_all_the_way",
    ),
    "TLS without a certificate": (
        f"{_AUTHORISATION}::test_every_call_is_refused_to_a_certificate_that_does_not_count",
        f"{_AUTHORISATION}::test_health_is_no_side_door",
        f"{_TLS}::test_a_client_without_a_kit_is_sent_for_one",
        f"{_TLS}::test_a_certificate_that_the_server_does_not_accept_is_understood",
    ),
    "revoked kits": (
        f"{_AUTHORISATION}::test_a_running_server_refuses_a_revoked_kit_at_the_next_call",
        f"{_AUTHORISATION}::test_a_stream_that_runs_ends_with_the_revocation",
        f"{_AUTHORISATION}::TestWhoMaySayWhat::test_a_revoked_name_is_closed_to_everybody",
    ),
    "traversal and control characters in names": (
        "tests/security/test_held.py::test_no_name_of_a_branch_leaves_its_place_or_moves_a_cursor",
        "tests/core/test_contributor_name.py::test_what_cannot_be_seen_is_no_name",
        "tests/core/test_branch.py::test_checkpoint_paths_stay_at_home",
        "tests/aggregator/server/test_logs.py::TestFormats::test_a_peers_words_begin_no_line_of_their_own",
    ),
    "alpha, rank, shape and NaN games": (
        f"{_RANGES}::test_a_manifests_number_is_refused_in_a_sentence_or_bears_all_that_follows",
        "tests/aggregator/forge/test_admission.py::test_the_declared_rank_kind_images_and_size_must_be_those_of_the_files",
        "tests/aggregator/forge/test_admission.py::test_finite_factors_whose_product_is_not_are_refused",
        "tests/aggregator/forge/test_admission.py::test_the_bound_is_on_the_norm_of_the_weight_change",
        "tests/core/test_plugin.py::test_wrong_content_is_named",
    ),
    "duplicate keys": (
        f"{_FUZZ}::test_a_manifest_is_not_believed",
        "tests/security/test_held.py::test_a_name_that_comes_twice_is_no_json",
    ),
    "pickles in checkpoints": (
        "tests/core/bases/test_checkpoint.py::test_a_training_checkpoint_is_read_and_nothing_in_it_runs",
        "tests/core/bases/test_checkpoint.py::test_a_whole_module_is_read_as_its_weights",
    ),
    "HTML and markup in prompts": (
        "tests/aggregator/page/test_site.py::test_what_contributors_wrote_is_text_everywhere",
        "tests/aggregator/page/test_site.py::test_hostile_names_are_shown_as_they_are_written",
        "tests/security/test_held.py::test_markup_of_a_terminal_is_text",
    ),
    "file names and hosts in branches": (
        "tests/security/test_held.py::test_a_branch_holds_no_path_and_no_host",
        "tests/client/test_cli.py::test_no_path_of_the_centre_leaves_it",
        "tests/client/audit/test_gate.py::test_the_json_holds_every_figure",
    ),
    "forced leaks from 8 images": (
        "tests/client/audit/test_gate.py::test_leaked_images_stay_in_the_house",
        "tests/client/audit/test_gate.py::test_one_leaked_image_among_honest_ones_is_enough",
        "tests/client/audit/test_gate.py::test_a_plugin_that_knows_its_images_by_heart_is_refused",
    ),
}

FINDINGS: dict[str, Tests] = {
    "flood": ("tests/e2e/test_reviews.py::test_what_takes_a_sites_images_away_is_held_and_what_does_not_goes_live",),
    "salami": (
        "tests/benchmarks/test_poisoning.py::test_salami_is_many_names_of_a_few_images_each",
        "tests/aggregator/main_branch/reviewing/test_decision.py::test_several_arrivals_are_told_apart_by_asking_for_the_middle",
        "tests/aggregator/main_branch/reviewing/test_harm.py::test_harm_to_few_images_at_each_of_several_sites_is_seen",
    ),
    "sleeper": (
        "tests/benchmarks/test_poisoning.py::test_a_sleeper_is_right_on_what_it_shows_and_wrong_on_real_images",
        "tests/aggregator/main_branch/reviewing/test_decision.py::test_what_hurts_a_task_is_held_with_the_evidence",
    ),
    "capital letters": (
        "tests/aggregator/main_branch/test_objections.py::test_other_spelling_order_and_task_name_hide_no_contradiction",
        "tests/core/test_declared_task.py::test_no_two_tasks_share_a_name_or_a_prompt",
        "tests/core/test_declared_task.py::test_no_two_tasks_share_what_the_base_takes_for_one_prompt",
    ),
    "squat": (
        "tests/aggregator/main_branch/reviewing/test_contradiction.py::test_both_sides_are_held_whoever_came_first",
        f"{_CONTRADICTION}::test_of_two_neither_is_believed_whoever_came_first",
        f"{_CONTRADICTION}::test_a_second_honest_centre_brings_the_first_back",
        f"{_CONTRADICTION}::test_one_who_contradicts_everybody_is_believed_no_more",
        "tests/e2e/test_reviews.py::test_who_came_before_its_victim_is_held_beside_it",
    ),
    "1": (
        "tests/aggregator/main_branch/test_objections.py::test_as_many_images_as_the_policy_admits_are_examined",
        "tests/aggregator/main_branch/test_fold_worker.py::test_a_bug_in_a_fold_is_the_forges_fault",
        "tests/aggregator/server/test_service.py::test_a_bug_in_admission_is_the_forges_fault_and_nobody_elses",
        f"{_RANGES}::test_a_policys_number_is_refused_in_a_sentence_or_bears_all_that_follows",
    ),
    "2": (
        "tests/e2e/test_copies.py::test_what_was_taken_from_the_public_item_leaves_with_its_origin",
        "tests/aggregator/main_branch/origin/test_gate.py::test_a_copy_is_held_with_both_names",
        "tests/aggregator/main_branch/origin/test_gate.py::test_a_copy_that_comes_after_the_erasure_is_known",
    ),
    "3": ("tests/aggregator/server/test_possession.py::test_naming_anothers_blobs_gives_nothing",),
    "4": (
        "tests/aggregator/forge/test_turns.py::test_one_call_does_not_wait_for_anothers_many",
        "tests/aggregator/forge/test_verdicts.py::test_the_same_branch_is_refused_again_with_nothing_read",
        "tests/aggregator/forge/test_verdicts.py::test_one_plugin_and_its_images_come_under_one_name",
        "tests/aggregator/server/test_charges.py::test_the_policy_bounds_an_hours_work_and_says_until_when",
        "tests/aggregator/server/test_charges.py::test_who_has_many_that_wait_brings_no_more",
        "tests/aggregator/server/test_charges.py::test_uploads_that_are_never_submitted_fill_their_own_share",
    ),
    "5": (
        "tests/aggregator/forge/test_key_rotation.py::test_a_key_file_from_an_older_backup_is_noticed",
        "tests/aggregator/forge/test_key_rotation.py::test_a_receipt_that_was_altered_or_is_anothers_is_not_verified",
    ),
    "6": (
        "tests/aggregator/forge/test_permissions.py::test_nobody_else_reads_a_forge_or_a_kit",
        "tests/client/audit/test_gate.py::test_nobody_else_on_the_machine_can_read_a_workspace",
    ),
    "7": (
        "tests/core/test_name_skeleton.py::test_look_alikes_are_found",
        "tests/core/test_name_skeleton.py::test_what_means_something_else_is_reserved",
        "tests/aggregator/forge/test_admission.py::test_nobody_chooses_anothers_name",
        f"{_NONSENSE}::test_what_nobody_sees_is_refused",
        f"{_NONSENSE}::test_classes_that_are_one_to_a_reader_are_refused",
    ),
    "8": (
        "tests/client/audit/test_gate.py::test_contribute_audits_before_it_pushes",
        f"{_AUTHORISATION}::test_a_caught_withdrawal_counts_once",
        "tests/aggregator/forge/test_key_rotation.py::test_who_knew_the_old_key_follows_to_the_new_one",
        "tests/core/test_near_images.py::test_the_same_pictures_in_both_classes_are_found",
        "tests/core/test_branch.py::test_an_image_of_two_classes_is_found_whatever_sign_its_zeros_have",
    ),
    "9": (
        "tests/client/privacy/test_accounting.py::test_a_plan_spends_at_most_what_was_asked_for",
        "tests/client/privacy/test_private_steps.py::TestUnits::test_everybody_is_drawn_as_often_and_by_nobodys_leave",
        "tests/client/privacy/test_private_steps.py::test_no_patient_adds_more_than_the_clip",
        "tests/client/audit/test_shadows.py::test_what_a_plugin_knows_by_heart_is_found_where_its_loss_says_less",
    ),
    "10": (
        "tests/requirements/test_pins.py::test_every_entry_is_one_version_with_digests_and_nothing_else",
        "tests/requirements/test_pins.py::test_make_installs_from_the_locks_by_hash_and_nothing_without",
        "tests/requirements/test_sbom.py::test_has_every_pin_of_every_lock_with_its_digests_and_the_weights",
        "tests/core/test_embedded.py::test_one_changed_byte_is_noticed_and_named",
    ),
}
