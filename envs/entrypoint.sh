#!/bin/sh
# Reads the Flickr key from a secret, if there is one, and runs the command.
set -eu
secret=/run/secrets/flickr_api_key
if [ -z "${FLICKR_API_KEY:-}" ] && [ -r "$secret" ]; then
    FLICKR_API_KEY=$(cat "$secret")
    export FLICKR_API_KEY
fi
exec "$@"
