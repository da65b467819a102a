"""Lightning strategy of searches over several devices, which share out targets or examples."""

import os
import signal
from collections.abc import Callable
from threading import current_thread, main_thread
from typing import Any

from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.exceptions import SIGTERMException

from fuse_lightning.utilities import early
from fuse_lightning.utilities.interrupts import notice
from fuse_lightning.utilities.processes import ASK_EVERY


class EarlyLauncher(_SubprocessScriptLauncher):
    """Launcher that takes processes which the command has begun early, where there are some."""

    def _call_children_scripts(self) -> None:
        cluster = self.cluster_environment
        # As Lightning's documentation of its launcher says.
        shared = {
            "MASTER_ADDR": cluster.main_address,
            "MASTER_PORT": str(cluster.main_port),
            "NODE_RANK": str(cluster.node_rank()),
            "WORLD_SIZE": str(self.num_processes * self.num_nodes),
        }
        self.procs = early.take(
            [
                {**os.environ, **shared, "LOCAL_RANK": str(rank)}
                for rank in range(1, self.num_processes)
            ]
        )
        if self.procs:
            os.environ.update(shared, LOCAL_RANK=str(cluster.local_rank()))
        else:
            super()._call_children_scripts()


class PromptStrategy(DDPStrategy):
    """Strategy whose processes share out targets, or the examples of targets, and average nothing.

    Registered as ``prompts``: ``Trainer(strategy="prompts", devices=2)``. ``fuse fit`` takes it by
    itself where there are several devices or nodes.
    """

    asked_to_end = False

    def configure_ddp(self) -> None:
        """Does nothing: prompts have no gradients that the wrapper could reduce."""

    def _configure_launcher(self) -> None:
        super()._configure_launcher()
        if self._start_method == "popen":
            assert self.cluster_environment is not None
            self._launcher = EarlyLauncher(
                self.cluster_environment, self.num_processes, self.num_nodes
            )

    def on_train_start(self) -> None:
        """Installs the handler of requests to end (SIGTERM), in place of Lightning's.

        Its handler talks to the other processes at once, in the midst of what they are saying:
        where all of them are asked, as by a cluster, each waits for another.
        """
        super().on_train_start()
        self.asked_to_end = False
        self._hear(self._ask_to_end)

    def on_validation_start(self) -> None:
        """Installs the handler that ends a validation at once: no result is lost."""
        super().on_validation_start()
        self._hear(self._end)

    def on_test_start(self) -> None:
        """Installs the handler that ends a test at once."""
        super().on_test_start()
        self._hear(self._end)

    def on_predict_start(self) -> None:
        """Installs the handler that ends a prediction at once."""
        super().on_predict_start()
        self._hear(self._end)

    def on_exception(self, exception: BaseException) -> None:
        """Ends the launched processes, if this process alone was asked to end."""
        super().on_exception(exception)
        alone = isinstance(exception, SystemExit) and not self.asked_to_end
        if alone and self.launcher is not None:
            self.launcher.kill(signal.SIGTERM)

    @staticmethod
    def _hear(handler: Callable[..., None]) -> None:
        if current_thread() is main_thread():
            signal.signal(signal.SIGTERM, handler)

    @staticmethod
    def _end(*_: Any) -> None:
        if notice():
            raise SIGTERMException

    def _ask_to_end(self, *_: Any) -> None:
        notice()
        if not self.asked_to_end and self.launcher is not None:
            self.launcher.kill(signal.SIGTERM)
        self.asked_to_end = True
        rank_zero_info("Received SIGTERM: the search ends after this step")

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Ends all processes before the same step, once one has been asked to end.

        Raises:
            SIGTERMException: If one has.
        """
        super().on_train_batch_start(batch, batch_idx)
        # To tell others does not hold the first process up, to hear all would: that is rarer.
        asked = self.broadcast(self.asked_to_end)
        if batch_idx % ASK_EVERY == 0:
            asked |= self.reduce_boolean_decision(self.asked_to_end, all=False)
        if asked:
            self.asked_to_end = True
            raise SIGTERMException


StrategyRegistry.register("prompts", PromptStrategy, "Processes that share targets alone.")
