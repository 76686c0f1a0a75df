"""Token bins: files of tokens to map into memory, their manifests and checksums, local or on an object store."""
