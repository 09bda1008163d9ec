#!/bin/sh
# Remove from a virtual environment what an image never runs. Usage: prune.sh VENV
#
# verify.py imports the packages afterwards, and docs/images.md says how much each item saved.
set -eu
venv=${1:?"give the folder of the virtual environment"}
site=$(echo "$venv"/lib/python3.*/site-packages)
[ -d "$site" ] || { echo "error: $site is not a folder" >&2; exit 2; }

# C++ headers and PyTorch's own test programs: only a compiler or PyTorch's developers use them.
rm -rf "$site/torch/include" "$site/torch/test" "$site/pyarrow/include"
find "$site/torch/bin" -mindepth 1 -maxdepth 1 ! -name torch_shm_manager -exec rm -rf {} + 2>/dev/null || true
# Tests of the packages. Listed by name: elsewhere a folder called "tests" may be part of a program.
for package in joblib matplotlib mpmath networkx numpy pandas psutil pyarrow scipy skops sklearn sympy; do
    [ -d "$site/$package" ] || continue
    find "$site/$package" -type d -name tests -prune -exec rm -rf {} +
done
rm -rf "$site/mpl_toolkits/mplot3d/tests" "$site/mpl_toolkits/axes_grid1/tests" \
    "$site/mpl_toolkits/axisartist/tests"
# Data of matplotlib's own examples.
rm -rf "$site/matplotlib/mpl-data/sample_data"
# Scripts that would put this environment into a shell: PATH does it.
rm -f "$venv"/bin/activate* "$venv"/bin/Activate*
find "$venv" -type d -name __pycache__ -prune -exec rm -rf {} +
