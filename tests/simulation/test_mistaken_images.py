"""The mistakes that a report shows are those that the model is surest of."""

import torch

from medforge.client.data.pixels.store import PixelStore
from medforge.client.data.task import Split, Task
from medforge.simulation.file_names import file_names
from medforge.simulation.mistakes import confident_mistakes
from medforge.simulation.outputs import Outputs
from medforge.simulation.task_scores import LastAnswers, Question

PROMPTS = ("benign", "malignant")


def task(name: str) -> Task:
    images = torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 3, 2, 2).contiguous()
    split = Split(
        PixelStore.of_tensor(images, [f"{name}/{place}.png" for place in range(4)]), torch.tensor([0, 1, 0, 1])
    )
    return Task(name, PROMPTS, split, split, split, "random")


def test_the_surest_come_first_over_all_centres_and_right_answers_are_left_out() -> None:
    tasks = {"north": task("north"), "south": task("south")}
    logits = {
        "north": torch.tensor([[0.0, 2.0], [0.0, 9.0], [5.0, 0.0], [1.0, 0.0]]),
        "south": torch.tensor([[0.0, 4.0], [3.0, 0.0], [5.0, 0.0], [0.0, 1.0]]),
    }
    outputs = {name: Outputs.on_test(one, logits[name], PROMPTS) for name, one in tasks.items()}
    answers = LastAnswers(Question("lung", ("north", "south"), PROMPTS), PROMPTS, outputs)
    found = confident_mistakes(answers, tasks)
    assert [one.image for one in found] == ["south/0.png", "south/1.png", "north/0.png", "north/3.png"]
    assert [(one.centre, one.truth, one.answer) for one in found[:2]] == [
        ("south", "benign", "malignant"), ("south", "malignant", "benign"),
    ]  # fmt: skip
    assert found[0].probability == float(torch.tensor([0.0, 4.0]).double().softmax(0).max())
    assert found[1].pixels.tolist() == [[[1, 1], [1, 1]]] * 3
    assert len(confident_mistakes(answers, tasks, count=1)) == 1


def test_images_of_centres_that_name_patients_and_of_others_are_measured_together() -> None:
    logits, labels = torch.zeros(3, 2), torch.tensor([0, 1, 0])
    known, unknown = Outputs(logits, labels, patients=("p", "p", "q")), Outputs(logits, labels)
    assert Outputs.together([known, unknown]).patients == ("0 p", "0 p", "0 q", "1 0", "1 1", "1 2")
    assert Outputs.together([unknown, unknown]).patients is None


def test_no_two_tasks_have_files_of_one_name() -> None:
    assert file_names(["a b", "a-b", "A b", "…"]) == {"a b": "a-b", "a-b": "a-b-2", "A b": "A-b-3", "…": "unnamed"}
