from igpo_lightning.rollout.phases import Phases


def test_seconds_add_up_by_phase():
    times = iter([0.0, 2.0, 2.0, 2.5, 10.0, 14.0])
    phases = Phases(clock=lambda: next(times))
    for phase in ("sample", "score", "sample"):
        with phases.of(phase):
            pass
    assert phases.seconds == {"sample": 6.0, "score": 0.5, "logprobs": 0.0}
