/* tests/vectors/go_control.h: control.json in parts:
 *
 *   go_control_main.c     the recorded cases, each with several seeds
 *   go_control.c          what is skipped, the rules
 *   go_control_items.c    names, RPCs of the file as frames, frames as comparable items
 *   go_control_world.c    one engine with gossipsub under virtual time, and the scripted peers
 *   go_control_compare.c  what was observed against what was recorded
 *
 * Strings and lists belong to an arena that lives as long as a run. */
#ifndef MSUB_TESTS_GO_CONTROL_H
#define MSUB_TESTS_GO_CONTROL_H
#include <jansson.h>
#include "meshsub/base.h"

#define GC_MUST(c) ((c) ? (void)0 : gc_fail(__FILE__, __LINE__, #c))
_Noreturn void gc_fail(const char *file, int line, const char *what);

static inline json_t *gc_get(const json_t *object, const char *key) { return json_object_get(object, key); }
static inline json_t *gc_at(const json_t *array, size_t i) { return json_array_get(array, i); }

/* ---- go_control.c ---- */

/* What the case needs that is not built; NULL: nothing. */
const char *gc_missing(const json_t *c);
typedef struct gc_arena { struct gc_block *last; } gc_arena;
/* What the case has recorded, as it has to be here, up to and including *until ms. *ruled: it is not all as recorded. */
json_t *gc_by_rules(gc_arena *a, const json_t *c, int64_t *until, bool *ruled);

/* ---- go_control_items.c ---- */

void *gc_alloc(gc_arena *a, size_t n); /* zeroed */
void gc_free(gc_arena *a);             /* all of it */
__attribute__((format(printf, 2, 3))) const char *gc_text(gc_arena *a, const char *fmt, ...);

typedef struct gc_list { const char **s; size_t n, cap; } gc_list;
void gc_add(gc_arena *a, gc_list *l, const char *s);
void gc_sort(gc_list *l);
bool gc_has(const gc_list *l, const char *s);
/* A name or an array of them, unfolded: "p[0..2]" is p0 p1 p2. */
gc_list gc_names(gc_arena *a, const json_t *j);

/* Peer ids: of the bytes that the case gives, else made of the name. */
typedef struct gc_ids { gc_list names; msub_bytes *id; size_t cap; } gc_ids;
void gc_id_is(gc_arena *a, gc_ids *ids, const char *name, msub_bytes id);
msub_bytes gc_id_of(gc_arena *a, gc_ids *ids, const char *name);
const char *gc_name_of(gc_arena *a, const gc_ids *ids, msub_bytes id);
msub_bytes gc_hex(gc_arena *a, const char *hex);

/* A part of an RPC: what comes once per id is one item per id.
 *
 *     kind       what         more
 *     sub        topic flag   -           (with partial messages: which)
 *     ext        which        -
 *     test_ext   -            -
 *     partial    topic group  sizes of message and metadata
 *     publish    topic id     size
 *     ihave      topic        id
 *     iwant      -            id        (idontwant too)
 *     graft      topic        -
 *     prune      topic secs   px peers, sorted, with blanks between */
typedef struct gc_item { const char *kind, *what, *more, *peer; unsigned rpc; } gc_item;
typedef struct gc_items { gc_item *i; size_t n, cap; } gc_items;
/* Appends the parts of RPC number `rpc` to or from the peer. Keys that it does not know end the program. */
void gc_items_of_json(gc_arena *a, const json_t *rpc, const char *peer, unsigned number, gc_items *out);
void gc_items_of_frame(gc_arena *a, const gc_ids *ids, msub_bytes frame, const char *peer, unsigned number,
                       gc_items *out);
const char *gc_item_text(gc_arena *a, const gc_item *i); /* without the peer */
/* The RPC as a peer encodes it. */
msub_bytes gc_frame(gc_arena *a, gc_ids *ids, const json_t *rpc);

/* ---- go_control_world.c ---- */

typedef struct gc_instant {
  int64_t t; /* ms */
  gc_items sent;
  gc_list trace;
  json_t *state; /* NULL: no sample */
  /* Only when watched: what was given to the outbound queues, and {mesh, fanout} {topic: [peers]} at the end. */
  gc_items offered;
  json_t *peers;
} gc_instant;
typedef struct gc_run {
  gc_arena arena;
  gc_instant *at; /* ascending */
  size_t n, cap;
} gc_run;
/* Replays the case's script until `end`, with this seed of the engine's random streams. */
void gc_replay(const json_t *c, uint64_t seed, gc_run *out);
/* The same, watched. */
void gc_watch(const json_t *c, uint64_t seed, gc_run *out);
void gc_run_free(gc_run *r);

/* ---- go_control_compare.c ---- */

/* Of what is chosen at random: who was chosen by any seed, and by every one. */
typedef struct gc_choices { const char *what; gc_list among, always, ever, every; } gc_choices;
typedef struct gc_spread {
  gc_arena arena;
  gc_choices of[32];
  size_t n;
} gc_spread;

/* NULL: the run is as `expect` says, up to and including `until` ms; else the first difference. */
const char *gc_compare(gc_run *r, const json_t *expect, int64_t until, gc_spread *spread);
/* NULL: over all runs, everybody was chosen who may be, and nobody always who need not be. */
const char *gc_compare_spread(gc_spread *s);
extern bool gc_authors; /* messages of the case have an author and a number: its policy is LaxNoSign */
#endif
