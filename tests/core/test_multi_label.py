"""Multi-label outputs: one logit a finding from a pair of prompts."""

import pytest
import torch
import torch.nn.functional as F

from medforge.multi_label import classification_loss, log_odds, mix_pairs, pairs

RANDOM = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(7, 6, generator=RANDOM)  # 3 findings: "with" in columns 0–2, "without" in 3–5
LABELS = torch.randint(0, 2, (7, 3), generator=RANDOM)


def test_the_sigmoid_of_the_log_odds_is_the_softmax_over_the_pair() -> None:
    odds = log_odds(LOGITS)
    assert odds.shape == (7, 3)
    for finding in range(3):
        both = LOGITS[:, [finding, finding + 3]].softmax(dim=1)
        torch.testing.assert_close(odds[:, finding].sigmoid(), both[:, 0])
        torch.testing.assert_close(pairs(LOGITS)[:, finding].softmax(dim=1), both)


def test_the_loss_is_the_mean_cross_entropy_over_images_and_pairs() -> None:
    by_hand = [-LOGITS[i, [j, j + 3]].log_softmax(dim=0)[0 if LABELS[i, j] else 1] for i in range(7) for j in range(3)]
    torch.testing.assert_close(classification_loss(LOGITS, LABELS), torch.stack(by_hand).mean())


def test_the_loss_of_one_label_an_image_is_the_cross_entropy() -> None:
    assert torch.equal(classification_loss(LOGITS, LABELS[:, 0]), F.cross_entropy(LOGITS, LABELS[:, 0]))


def test_pairs_are_mixed_one_by_one() -> None:
    outputs, weights = 2 * torch.randn(2, 5, 4, generator=RANDOM), torch.tensor([0.3, 0.7])
    odds = log_odds(mix_pairs(outputs, weights))
    for finding in range(2):
        chance = outputs[:, :, [finding, finding + 2]].softmax(dim=-1)
        expected = 0.3 * chance[0, :, 0] + 0.7 * chance[1, :, 0]
        torch.testing.assert_close(odds[:, finding].sigmoid(), expected)


def test_what_one_plugin_makes_of_another_finding_does_not_matter() -> None:
    outputs, weights = torch.randn(2, 5, 4, generator=RANDOM), torch.tensor([0.5, 0.5])
    changed = outputs.clone()
    changed[0, :, [1, 3]] += 10
    torch.testing.assert_close(log_odds(mix_pairs(changed, weights))[:, 0], log_odds(mix_pairs(outputs, weights))[:, 0])


def test_a_mixture_of_one_plugin_is_that_plugin() -> None:
    torch.testing.assert_close(log_odds(mix_pairs(LOGITS[None], torch.ones(1))), log_odds(LOGITS))


@pytest.mark.parametrize("findings", [1, 14])
def test_any_number_of_findings(findings: int) -> None:
    assert log_odds(torch.zeros(2, 2 * findings)).shape == (2, findings)
