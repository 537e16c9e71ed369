"""Bounds on what comes from outside. Each says why it is what it is."""

# One query of the index is cut into parts anyway; this bounds the message and the answer.
DIGESTS_PER_CALL_MAX = 10_000

# Packed they cost a tenth: so many hold up others for 20 ms.
PACKED_HASHES_PER_CALL_MAX = 25_000

# Each is signed, which takes a millisecond.
OFFERS_PER_CALL_MAX = 1_000

# gRPC's default of 4 MiB is too little for the list of files of a large repository: 100,000 files
# with paths of 80 bytes are about 14 MB.
MESSAGE_BYTES_MAX = 32 * 1024 * 1024

SNAPSHOT_FILES_MAX = 200_000

# A chunk that gRPC copies a few times without hurting; 1 MiB keeps a slow reader's buffer small.
CHUNK_BYTES_MAX = 1024 * 1024

# Chunks of small blobs packed into one message. Whoever gets it begins when all of it has come, and writes the last one
# when the service has nothing left to do: with longer ones one of two processors stands still that long.
BATCH_BYTES_MAX = 256 * 1024

# Files of projects up to this stand in packs. Nearly all sources are shorter; longer ones gain nothing by it.
PACKED_BYTES_MAX = 256 * 1024

# A pack is held in memory when it is made and when it is read whole. It is closed when its contents reach half of this.
PACK_BYTES_MAX = 16 * 1024 * 1024

# Of the smallest files. The list at a pack's beginning, about 110 bytes each, stays below a megabyte.
PACK_MEMBERS_MAX = 8_192

# Files that Wherry itself reads: dvc.yaml, params, dvc.lock, *.dvc. The largest dvc.lock known to us is
# under 5 MB.
DVC_FILE_BYTES_MAX = 32 * 1024 * 1024

# An entry of DVC's run cache: a few hundred bytes, more where a large params file is tracked whole.
RUN_ENTRY_BYTES_MAX = 4 * 1024 * 1024

# A tree of a million files is about 100 MB of JSON.
TREE_BYTES_MAX = 256 * 1024 * 1024

# Where content differs from what an old lock records it is read for its hash of DVC 2. That is about text; what is
# longer counts as changed, and all that comes of it is a renewed entry in dvc.lock.
LEGACY_HASH_BYTES_MAX = 256 * 1024 * 1024

# A file or folder that DVC 2 pushed is read while the client waits for an answer. What is longer has to be pulled and
# submitted once.
LEGACY_ADOPTED_BYTES_MAX = 1024 * 1024 * 1024

# A longer line is cut into several, so that one line without an end cannot fill memory.
LOG_LINE_BYTES_MAX = 16 * 1024

# Enough for a chatty training; then a marker, then silence.
LOG_BYTES_PER_STAGE_MAX = 64 * 1024 * 1024

# The engine's own copy of a container's output: it begins another file after so much, and keeps that and the one before.
# Each line takes some more than its bytes; of lines of ten bytes the first file has all that is kept of a stage.
ENGINE_LOG_FILE_BYTES = 256 * 1024 * 1024
ENGINE_LOG_LINE_BYTES = 28

TARGETS_MAX = 10_000
SET_PARAMS_MAX = 1_000

# A sweep is read and answered whole; more combinations than this are a mistake more often than a wish.
SWEEP_RUNS_MAX = 1_000

# Configurations that Hydra composes from: Hydra parses each with a slow YAML reader.
COMPOSED_FILES_MAX = 2_000
COMPOSED_BYTES_MAX = 8 * 1024 * 1024

NAME_CHARACTERS_MAX = 100
MESSAGE_CHARACTERS_MAX = 2_000
LABELS_MAX = 50
PRIORITY_MAX = 100
RUNS_PAGE_MAX = 500
RUNS_PAGE_DEFAULT = 50

# Of the files that a stage read without declaring them, so many are told; all count.
UNDECLARED_SHOWN_MAX = 1_000

# What an image is made of travels to the engine each time one is made: sources and wheels, not data.
CONTEXT_FILES_MAX = 20_000
CONTEXT_BYTES_MAX = 512 * 1024 * 1024

# Of what is said while an image is made, the last lines are given to whoever comes to wait for it, and at a failure.
BUILD_LINES_KEPT = 200
