"""Names of the environment variables and of the file that say where the Kubeflow Pipelines server is."""

from pathlib import Path

VARIABLES = {
    "host": "KF_PIPELINES_ENDPOINT",
    "ui_host": "KF_PIPELINES_UI_ENDPOINT",
    "namespace": "KF_PIPELINES_NAMESPACE",
    "token": "KF_PIPELINES_TOKEN",
    "token_file": "KF_PIPELINES_SA_TOKEN_PATH",
    "ca_file": "KF_PIPELINES_CA_FILE",
    "proxy": "KF_PIPELINES_PROXY",
    "service_account": "KF_PIPELINES_SERVICE_ACCOUNT",
}
"""Setting → environment variable; those that Kubeflow has a name for keep it."""

FILE_VARIABLE = "KF_PIPELINES_CONNECTION"
FILE = Path("~/.config/tsa-pipeline/connection.yaml")
