/* meshsub/base.h: the types that every other header uses: bytes, time, handles, errors, allocator.
 *
 * Threads: everything here is plain data. Nothing in the engine's libraries reads a clock, a socket or a random device, or
 * starts a thread; the world that carries an engine passes them in (meshsub/world.h). */
#ifndef MESHSUB_BASE_H
#define MESHSUB_BASE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MSUB_API __attribute__((visibility("default")))
#define MSUB_MUST __attribute__((warn_unused_result))
#else
#define MSUB_API
#define MSUB_MUST
#endif

/* The version of every vtable's layout. A vtable begins with {abi, size}: abi is MSUB_ABI, size is sizeof its type as the
 * plug-in was compiled; members past a plug-in's size are taken as NULL, so old plug-ins keep working. */
#define MSUB_ABI 1u

/* A view of bytes that somebody else owns. {NULL, 0} is the empty view. */
typedef struct msub_bytes {
  const uint8_t *p;
  size_t n;
} msub_bytes;

/* The time of one call, in nanoseconds. mono_ns never decreases from call to call (its origin is arbitrary) and drives
 * everything. wall_ns is Unix time, is read only for sequence numbers, record expiry and trace stamps, and may step. */
typedef struct msub_now {
  uint64_t mono_ns;
  int64_t wall_ns;
} msub_now;
/* A deadline that never comes. */
#define MSUB_NEVER UINT64_MAX

/* Handles: one-word structs, so that a session passed as a topic does not compile. v == 0 names nothing.
 * Session and topic: router 3 bits, generation 9, slot 20; a stale handle is refused (MSUB_ERR_STALE) until its slot has been
 * used 511 more times. Peer: an index in the msub_shared. */
typedef struct msub_peer { uint32_t v; } msub_peer;
typedef struct msub_session { uint32_t v; } msub_session; /* (peer, router) */
typedef struct msub_topic { uint32_t v; } msub_topic;     /* (router, name) */
/* An open question (kind, slot, generation), or the ticket of a deferred call. 0: none. */
typedef struct msub_token { uint64_t v; } msub_token;

/* Whose doing an error is: the caller's (fix the call), a peer's (a peer sent or did something wrong), or a resource's (a
 * limit or memory; may pass). */
typedef enum msub_err_class { MSUB_CLASS_NONE, MSUB_CLASS_CALLER, MSUB_CLASS_PEER, MSUB_CLASS_RESOURCE } msub_err_class;

/* X(NAME, value, class, text) */
#define MSUB_ERR_MAP(X)                                                                                             \
  X(OK, 0, NONE, "success")                                                                                         \
  X(ERR_NOMEM, -1, RESOURCE, "out of memory")                                                                       \
  X(ERR_INVAL, -2, CALLER, "invalid argument")                                                                      \
  X(ERR_STATE, -3, CALLER, "not allowed in this state or from a callback")                                          \
  X(ERR_LIMIT, -4, RESOURCE, "a limit is reached")                                                                  \
  X(ERR_CLAIMED, -5, CALLER, "the protocol id or name is already taken")                                            \
  X(ERR_STALE, -6, CALLER, "the handle names something that is gone")                                               \
  X(ERR_MALFORMED, -7, PEER, "malformed input")                                                                     \
  X(ERR_UNSUPPORTED, -8, PEER, "not supported")                                                                     \
  X(ERR_REFUSED, -9, PEER, "refused")                                                                               \
  X(ERR_NOTFOUND, -10, CALLER, "not found")                                                                         \
  X(ERR_TIMEOUT, -11, RESOURCE, "the deadline passed")                                                              \
  X(ERR_CLOSED, -12, PEER, "the other side closed")                                                                 \
  X(ERR_CRYPTO, -13, PEER, "a signature, key or cipher check failed")                                               \
  X(ERR_MISMATCH, -14, PEER, "the peer is not the one expected")                                                    \
  X(ERR_IO, -15, RESOURCE, "input or output failed")

typedef enum msub_err {
#define MSUB_X(name, value, cls, text) MSUB_##name = value,
  MSUB_ERR_MAP(MSUB_X)
#undef MSUB_X
} msub_err;

/* Name ("MSUB_ERR_LIMIT"), text and class of an error code; any int is accepted. The strings are static. */
MSUB_API const char *msub_err_name(int err);
MSUB_API const char *msub_err_text(int err);
MSUB_API msub_err_class msub_err_class_of(int err);

/* What a validator, or the whole pipeline, says of a message.
 * ACCEPT: delivered, seen, forwarded. IGNORE: seen, dropped. REJECT: seen as invalid; a later copy is its sender's fault.
 * THROTTLED: nobody had room; not seen, so it can come again. DEFER: a policy keeps it open. PENDING: the answer comes later. */
typedef enum msub_verdict { MSUB_ACCEPT, MSUB_IGNORE, MSUB_REJECT, MSUB_THROTTLED, MSUB_DEFER, MSUB_PENDING } msub_verdict;

/* Outbound priority, highest first. Control is never what gets lost. */
typedef enum msub_lane { MSUB_LANE_CONTROL, MSUB_LANE_OWN, MSUB_LANE_FORWARD, MSUB_LANE_GOSSIP } msub_lane;
#define MSUB_LANES 4

/* An allocator. `alloc` returns memory aligned for any type, or NULL; `free` gets the size that was asked for; `ud` is handed
 * to both. The object that is given one copies the struct; what `ud` points to must outlive it. NULL in place of a msub_mem *
 * means malloc and free. */
typedef struct msub_mem {
  void *(*alloc)(void *ud, size_t n);
  void (*free)(void *ud, void *p, size_t n);
  void *ud;
} msub_mem;

/* A view of a C string, without its NUL. */
MSUB_API msub_bytes msub_str(const char *s);
MSUB_API bool msub_bytes_eq(msub_bytes a, msub_bytes b);

#ifdef __cplusplus
}
#endif
#endif
