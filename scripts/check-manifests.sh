#!/bin/sh
# Checks the files of deploy/ against published schemas: the Kubernetes API's JSON schemas, as
# kubernetes-validate carries them, and the service model of AWS Batch in botocore, which the aws
# command line uses.
#
#   scripts/check-manifests.sh install
#       installs both into the cache folder, unless they are there
#   scripts/check-manifests.sh kubernetes FILE
#       prints the documents of FILE as a JSON list
#   scripts/check-manifests.sh aws-batch OPERATION FILE
#       checks FILE as the input of RegisterJobDefinition, SubmitJob, ...
#
# Exits 1 if FILE is wrong, with the errors on standard error; an unknown field is an error. Needs
# python3 with venv (Debian: python3-venv); exits 69 with the remedy if it is missing.
set -eu

validate_version=1.37.0
botocore_version=1.44.5
# The oldest Kubernetes that has what the manifest uses without a feature gate, and the newest
# known.
kubernetes_versions="1.33 1.37"
home=${S3_TO_MYSQL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/s3-to-mysql}/manifests
installed="$validate_version $botocore_version"

install() {
    mkdir -p "$(dirname "$home")"
    # Tests run in parallel, and two installations at once would delete each other's files.
    exec 9>"$home.lock"
    flock 9
    if [ -x "$home/bin/python" ] && [ "$(cat "$home/installed" 2>/dev/null)" = "$installed" ]; then
        exec 9>&-
        return
    fi
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        echo "error: python3 with venv is missing; install it: apt-get install python3-venv" >&2
        exit 69
    fi
    rm -rf "$home"
    python3 -m venv "$home"
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check \
        "kubernetes-validate==$validate_version" "botocore==$botocore_version" >&2
    # Written last, so that an interrupted installation starts again.
    echo "$installed" >"$home/installed"
    exec 9>&-
}

case ${1:-}:$# in
install:1) install ;;
kubernetes:2)
    install
    # shellcheck disable=SC2086 # several versions
    exec "$home/bin/python" - "$2" $kubernetes_versions <<'PYTHON'
import json, sys
import kubernetes_validate, yaml

path, *versions = sys.argv[1:]
with open(path) as file:
    documents = [document for document in yaml.safe_load_all(file) if document]
if not documents:
    sys.exit(f"{path}: there is no document in it")
for document in documents:
    for version in versions:
        try:
            used = kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            where = ".".join(str(step) for step in error.absolute_path)
            sys.exit(f"{path}: {where}: {error.message} (Kubernetes {version})")
        # Otherwise it would fall back to the next older schema that it has.
        if used != version:
            sys.exit(f"there is no schema of Kubernetes {version}")
print(json.dumps(documents))
PYTHON
    ;;
aws-batch:3)
    install
    exec "$home/bin/python" - "$2" "$3" <<'PYTHON'
import json, sys
import botocore.session
from botocore.validate import ParamValidator

operation, path = sys.argv[1:]
with open(path) as file:
    value = json.load(file)
model = botocore.session.Session().get_service_model("batch")
report = ParamValidator().validate(value, model.operation_model(operation).input_shape)
if report.has_errors():
    sys.exit(f"{path}: {report.generate_report()}")
PYTHON
    ;;
*)
    echo "usage: $0 install | kubernetes FILE | aws-batch OPERATION FILE" >&2
    exit 64
    ;;
esac
