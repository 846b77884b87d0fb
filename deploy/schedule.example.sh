#!/bin/sh
# Retrain every Monday at 02:00 UTC on the data known by then. Running it again replaces the schedule.
set -eu

tsa schedule create \
    --name weekly \
    --cron "0 2 * * 1" \
    --config run.yaml \
    --events s3://bucket/orders \
    --image registry.example/tsa-python@sha256:0000000000000000000000000000000000000000000000000000000000000000 \
    --stages deploy/stages.example.yaml \
    --service-account tsa-pipeline \
    --champion /champion
