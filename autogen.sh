#!/bin/sh
# autogen.sh: make configure out of configure.ac
set -e
cd "$(dirname "$0")"
mkdir -p build-aux
exec autoreconf --install --force
