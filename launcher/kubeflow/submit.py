"""Upload the pipeline as a new version, and run it."""

from __future__ import annotations

from typing import Any, NamedTuple

from launcher.compilation import Documents, compiled_documents
from launcher.definition import Define
from launcher.kubeflow.api import Json
from launcher.kubeflow.server import PipelinesServer, new_run_name
from launcher.kubeflow.versions import version_name
from launcher.stages import ClusterSettings

LOCAL_IMAGE = "localhost/"


class Submission(NamedTuple):
    """What can be sent: compiled and checked."""

    documents: Documents
    arguments: dict[str, Any]

    @classmethod
    def prepare(
        cls, define: Define, settings: ClusterSettings, image: str | None, arguments: dict[str, Any]
    ) -> Submission:
        """Compile the pipeline; nothing is sent.

        Args:
            define: the pipeline's definition.
            settings: what each stage gets.
            image: for every stage; None = as the settings say.
            arguments: checked against the pipeline's inputs.
        """
        return cls(compiled_documents(define(settings, "kubeflow"), image), arguments)

    @property
    def pipeline(self) -> str:
        """Name of the pipeline."""
        return str(self.documents[0]["pipelineInfo"]["name"])

    def local_images(self) -> list[str]:
        """Images that a cluster cannot pull."""
        executors = self.documents[0]["deploymentSpec"]["executors"].values()
        images = {executor["container"]["image"] for executor in executors}
        return sorted(image for image in images if image.startswith(LOCAL_IMAGE))


def upload(server: PipelinesServer, submission: Submission) -> Json:
    """Upload a submission's pipeline as a new version, named after code and image."""
    documents = submission.documents
    description = str(documents[0]["pipelineInfo"].get("description", ""))
    return server.upload(documents, version_name(documents), description)


def submit(
    server: PipelinesServer, submission: Submission, experiment: str, run_name: str | None
) -> tuple[Json, Json]:
    """Upload the pipeline and start one run of it.

    Args:
        server: where.
        submission: what.
        experiment: name of the experiment, which is created when it is absent.
        run_name: None = the pipeline's name and the time.

    Returns:
        The version and the run.

    Raises:
        ApiError: the server refuses, or does not answer.
    """
    version = upload(server, submission)
    place = server.experiment(experiment)
    name = run_name or new_run_name(submission.pipeline)
    return version, {"display_name": name} | server.run(version, place, submission.arguments, name)
