import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest
import torch

from medforge.base_module import BaseModule
from medforge.determinism import cpu_seconds, in_chunks, in_float64, on_grid, one_thread


def changes(base: BaseModule) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return {site: 0.05 * torch.randn(base.site_shape(site), generator=random) for site in base.sites}


@pytest.mark.parametrize("exactly", [False, True])
def test_threads_change_no_bit_of_an_embedding_and_leave_the_base_as_it_is(
    tiny_base: BaseModule, exactly: bool
) -> None:
    before = {name: value.clone() for name, value in tiny_base.visual.state_dict().items()}
    images, deltas = torch.randn(70, 3, 32, 32, generator=torch.Generator().manual_seed(1)), changes(tiny_base)
    threads, found = torch.get_num_threads(), []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(tiny_base.embed_all(images, deltas, exactly))
        assert torch.get_num_threads() == count
    torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert found[0].dtype == (torch.float64 if exactly else torch.float32)
    for name, value in tiny_base.visual.state_dict().items():
        assert torch.equal(value, before[name])
        assert not value.is_inference()


def test_chunks_are_the_same_whatever_the_threads_and_come_in_order() -> None:
    threads = torch.get_num_threads()
    for count in (1, 3):
        torch.set_num_threads(count)
        parts = in_chunks(lambda part: (part.start, part.stop, torch.get_num_threads()), 40, 16)
        assert parts == [(0, 16, 1), (16, 32, 1), (32, 40, 1)]
    torch.set_num_threads(threads)


def test_what_is_asked_side_by_side_comes_in_order_and_several_at_a_time(tiny_base: BaseModule) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    together = threading.Barrier(3, timeout=30)

    def ask(name: str) -> tuple[str, int]:
        together.wait()
        return name, torch.get_num_threads()

    assert tiny_base.side_by_side(ask, ["c", "a", "b"]) == [("c", 1), ("a", 1), ("b", 1)]
    assert torch.get_num_threads() == 3
    torch.set_num_threads(threads)


@pytest.mark.parametrize("fails", [False, True])
def test_the_work_of_others_counts_as_that_of_who_asked_for_it(fails: bool) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    mine, all_of_it = time.thread_time(), cpu_seconds()

    def work(_: slice) -> None:
        begun = time.thread_time()
        while time.thread_time() < begun + 0.2:
            pass
        if fails:
            raise ValueError("no good")

    with pytest.raises(ValueError, match="no good") if fails else nullcontext():
        in_chunks(work, 3, 1)
    mine, all_of_it = time.thread_time() - mine, cpu_seconds() - all_of_it
    # the third is not begun any more where one of the first two has failed
    assert all_of_it - mine >= (0.2 if fails else 0.6)
    assert mine < 0.2
    torch.set_num_threads(threads)


def test_folds_side_by_side_give_the_threads_back() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)

    def hold(_: int) -> int:
        with one_thread(), one_thread():
            return torch.get_num_threads()

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(hold, range(16))) == {1}
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)


def test_float64_is_what_a_module_of_doubles_computes() -> None:
    layer, rows = torch.nn.Linear(8, 8), torch.randn(4, 8)
    wide = in_float64(lambda: layer(rows))
    assert wide.dtype == torch.float64
    assert torch.equal(wide, layer.double()(rows.double()))


def test_a_number_that_float32_cannot_square_is_no_number() -> None:
    with torch.no_grad():
        layer = torch.nn.Linear(1, 1, bias=False)
        layer.weight.fill_(1.0)
        assert in_float64(lambda: layer(torch.full((1, 1), 3e20))).isnan().all()
        assert in_float64(lambda: layer(torch.full((1, 1), 3e15))).isfinite().all()


def test_the_grid_takes_off_the_last_bits() -> None:
    values = on_grid(torch.linspace(-9, 0, 1001, dtype=torch.float64))
    assert torch.equal(on_grid(values + 1e-13), values)
    assert torch.equal(on_grid(values - 1e-13), values)
