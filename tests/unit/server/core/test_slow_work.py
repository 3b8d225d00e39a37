"""SlowWork: no user gets all the workers."""

from __future__ import annotations

import asyncio

from frevo.server.core.slow_work import SlowWork


async def test_one_user_leaves_workers_to_others() -> None:
    """Goal: one user has half of the workers, others find one, and everybody's work ends in the order in which it
    came. Method: much work of one user, held up; then some of two others, who are served meanwhile."""
    work = SlowWork(asyncio.get_running_loop(), workers=8)
    running: dict[str, int] = {}
    most: dict[str, int] = {}
    ended: list[int] = []
    word = asyncio.Event()

    async def slow(user: str, number: int = 0) -> None:
        running[user] = running.get(user, 0) + 1
        most[user] = max(most.get(user, 0), running[user])
        await word.wait()
        running[user] -= 1
        if user == "much":
            ended.append(number)

    async def failing() -> None:
        raise OSError(5, "no")

    def lot(user: str, count: int) -> list[asyncio.Task[None]]:
        return [
            asyncio.create_task(work.run(user, lambda number=number: slow(user, number)))  # type: ignore[misc]
            for number in range(count)
        ]

    tasks = lot("much", 20)
    await asyncio.sleep(0)
    assert running["much"] == 4
    tasks += lot("other", 5)
    await asyncio.sleep(0)
    assert running["other"] == 2
    tasks += lot("third", 1)
    await asyncio.sleep(0)
    assert running["third"] == 1
    word.set()
    await asyncio.gather(*tasks)
    assert ended == list(range(20)) and most["much"] <= 8
    for _ in range(20):
        (outcome,) = await asyncio.gather(work.run("much", failing), return_exceptions=True)
        assert isinstance(outcome, OSError)
    await work.run("much", lambda: slow("much"))
