"""schemathesis against /api/v1/openapi.json: made-up calls, right and wrong, must be answered as the description says, and never by 5xx.
The same seed each time, and few examples: some seconds."""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HUB, TOKEN = os.environ["HUB_SERVER"], os.environ["HUB_TOKEN"]
SEED, EXAMPLES = "7", "4"
# They would end the token that asks, or take its right away.
ENDING = "^/api/v1/(tokens/\\{id\\}|users/\\{name\\})$"
# A stranger may read what is public, so a call without a token is answered as well; and of names, revisions and cursors no schema
# says all that makes them right.
LEFT_OUT = "ignored_auth,positive_data_acceptance"

# A number in an address is text like any other.
HOOKS = """import schemathesis


@schemathesis.hook
def filter_path_parameters(context, path_parameters):
    return all(isinstance(one, str) for one in (path_parameters or {}).values())
"""

# A size beyond the width of its number is too large, which is 413.
SETTINGS = """[checks]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 406, 409, 413, 415, 422, 429]
"""


def main():
    work = Path(tempfile.mkdtemp(dir=sys.argv[1]))
    (work / "hooks.py").write_text(HOOKS)
    (work / "schemathesis.toml").write_text(SETTINGS)
    schemathesis = Path(sys.executable).with_name("schemathesis")
    command = [schemathesis, "run", f"{HUB}/api/v1/openapi.json", "-H", f"Authorization: Bearer {TOKEN}", "--workers", "1"]
    command += ["--seed", SEED, "--max-examples", EXAMPLES, "--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-shrink"]
    command += ["--request-timeout", "20", "--exclude-checks", LEFT_OUT, "--exclude-path-regex", ENDING, "--warnings", "off"]
    done = subprocess.run([str(part) for part in command], cwd=work, capture_output=True, text=True, env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(work)})
    found = re.findall(r"^_+ (.*) _+$", done.stdout, re.M)
    if done.returncode != 0:
        print(done.stdout[-20_000:])
        raise SystemExit(f"calls were answered otherwise than described: {', '.join(found) or done.stderr[-2000:]}")
    print("\n".join(done.stdout.splitlines()[-12:]))


main()
