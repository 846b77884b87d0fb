#!/bin/sh
# What a container of the image runs: a program that the image has, as kfp ("sh -c ...") and Kubernetes ask for,
# otherwise a command of tsa: "run", "score --help"; without any, the help.
[ "$#" -gt 0 ] || set -- --help
case "$1" in
    */*) exec "$@" ;;
esac
IFS=:
for folder in $PATH; do
    if [ -f "$folder/$1" ] && [ -x "$folder/$1" ]; then exec "$@"; fi
done
exec tsa "$@"
