/* tests/support/engine_world.h: a world in memory: it writes down what an engine asks for, and answers as a test says. */
#ifndef MSUB_TESTS_ENGINE_WORLD_H
#define MSUB_TESTS_ENGINE_WORLD_H
#include "meshsub/crypto.h"
#include "meshsub/engine.h"
#include "meshsub/rpc.h"
#include "count_mem.h"

#define WORLD_MAX 4096
typedef struct world_sent {
  msub_session session;
  uint64_t link;
  msub_lane lane;
  uint8_t *rpc; /* encoded */
  size_t n;
} world_sent;
typedef struct world_job {
  msub_job job;
  msub_token token;
  bool running; /* recall answers false */
} world_job;
typedef struct world_peer_event { msub_topic topic; msub_peer peer; bool joined; } world_peer_event;
typedef struct world_result { uint64_t ticket; int err; uint32_t recipients; } world_result;

typedef struct world_published { msub_published p; uint8_t id[MSUB_MAX_ID]; } world_published; /* p.id stands in id */

typedef struct world_hint { uint8_t peer[64], record[64]; size_t peer_n, record_n; } world_hint;
typedef struct world_protect { msub_peer peer; msub_topic topic; bool on; } world_protect;

typedef struct world {
  msub_shared *sh;
  msub_engine *e;
  const msub_plan *plan;
  msub_now now;
  msub_key *key;
  msub_world_ops ops; /* a test may clear or replace members before world_start */
  msub_engine_opts opts;

  world_sent sent[WORLD_MAX];
  size_t n_sent;
  const msub_msg *delivered[WORLD_MAX]; /* held */
  msub_peer delivered_from[WORLD_MAX];
  size_t n_delivered;
  world_job jobs[WORLD_MAX];
  size_t n_jobs, jobs_max;
  world_peer_event peer_events[WORLD_MAX];
  size_t n_peer_events;
  world_result results[WORLD_MAX];
  size_t n_results;
  world_published published[WORLD_MAX];
  size_t n_published;
  msub_peer disconnected[WORLD_MAX];
  int disconnect_reason;
  size_t n_disconnected;
  world_hint hints[256];                 /* connect_hint; records are cut */
  size_t n_hints;
  world_protect protects[WORLD_MAX];
  size_t n_protects;
  unsigned wanted_peers;                 /* want_peers: the last n */
  size_t events[MSUB_EVENTS];            /* trace: how many of each kind */
  const void *router_opts;               /* of world_start's router */
  bool full, refuse, no_room;            /* answers of deliver, send, room */
  msub_bytes (*id_of)(const msub_msg_view *v); /* for withdraw; NULL: it finds nothing */
  void (*on_deliver)(struct world *w, const msub_msg *m); /* may make deferred calls */
  count_mem mem;
} world;

/* Defaults: floodsub, strict sign with the key of this seed, jobs run when the test says. */
void world_init(world *w, uint8_t seed);
void world_wants(world *w); /* before world_start: it has discovery, and wanted_peers is written down */
void world_start(world *w, const msub_router_ops *router); /* NULL: floodsub */
int world_try_start(world *w, const msub_router_ops *router, const msub_mem *mem);
msub_mem world_mem(world *w); /* counts into w->mem */
void world_stop(world *w);    /* frees all; checks that nothing is left */
void world_clear(world *w);   /* forgets what was written down */
/* Runs the i-th waiting job and answers; it leaves the list. */
int world_run_job(world *w, size_t i);
void world_run_jobs(world *w);

msub_session world_peer(world *w, uint8_t seed); /* a session with the peer of this seed, link = seed */
msub_peer_id world_peer_id(uint8_t seed);
msub_topic world_join(world *w, const char *topic, const msub_channel_policy *p);
int world_receive(world *w, msub_session s, msub_bytes frame);
int world_subscribe(world *w, msub_session s, const char *topic, bool on);
/* A signed message of the author with this seed, as an RPC; returns its length. */
size_t world_signed_rpc(uint8_t *out, size_t cap, uint8_t author, uint64_t seqno, const char *topic, msub_bytes data);
size_t world_plain_rpc(uint8_t *out, size_t cap, const char *topic, msub_bytes data);
/* Anonymous messages, with this router (NULL: the default one). */
void world_start_plain(world *w, const msub_router_ops *router);
int world_plain(world *w, msub_session s, const char *topic, const char *data); /* one of them, received */
/* So much time passes, both clocks, with a stop at each deadline. */
void world_pass(world *w, uint64_t ns);
size_t world_id_of_data(const msub_msg *m, uint8_t out[MSUB_MAX_ID]); /* the data, cut at 128 */
extern const msub_channel_policy world_data_ids;
#endif
