from igpo_lightning.reporting.csv_logger import CSVLogger
from igpo_lightning.reporting.run import read_metrics


def log(folder, step, append, **metrics):
    logger = CSVLogger(folder, name="metrics", version="", append=append, flush_logs_every_n_steps=1)
    logger.log_metrics(metrics, step)
    logger.finalize("success")


def test_a_resumed_run_goes_on_with_its_rows_and_a_fresh_one_does_not(tmp_path):
    path = tmp_path / "metrics" / "metrics.csv"
    log(tmp_path, 0, None, a=1.0)
    log(tmp_path, 1, "auto", a=2.0, b=3.0)
    metrics = read_metrics(path)
    assert (metrics.series("a"), metrics.series("b")) == (([0, 1], [1.0, 2.0]), ([1], [3.0]))
    log(tmp_path, 0, False, a=5.0)
    assert read_metrics(path).series("a") == ([0], [5.0]) and read_metrics(path).last("b") is None
