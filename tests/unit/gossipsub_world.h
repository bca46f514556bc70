/* tests/unit/gossipsub_world.h: a gossipsub engine with scripted peers: sending control to it, counting what it sends. */
#ifndef MSUB_TESTS_GOSSIPSUB_WORLD_H
#define MSUB_TESTS_GOSSIPSUB_WORLD_H
#include "engine_world.h"
#include "meshsub/gossipsub.h"

#define MS 1000000ull
#define V13 "/meshsub/1.3.0"
#define V12 "/meshsub/1.2.0"
#define V11 "/meshsub/1.1.0"
#define V10 "/meshsub/1.0.0"
#define FLOOD "/floodsub/1.0.0"

extern world w;
extern msub_gossipsub_opts o; /* change it between gs_init and gs_start */

void gs_init(void);   /* anonymous topics whose ids are the data */
void gs_start(void);
void gs_begin(bool parity); /* both; with gs_parity() */
void gs_start_with(const msub_router_ops *router); /* with w.router_opts; gossipsub is inside it */
void gs_parity(void); /* the profile; before gs_start */
extern const msub_channel_policy gs_ids; /* the data up to the first zero byte */

/* A session with the peer `seed` (1 …), link = seed. */
msub_session gs_up(uint8_t seed, const char *protocol, bool outbound);
/* n of them from seed `first` on, speaking `protocol`, subscribed to `topic` (NULL: to nothing). */
void gs_crowd(msub_session *out, uint8_t first, size_t n, const char *protocol, bool outbound, const char *topic);
extern msub_session gs_peer[256]; /* by seed */

/* Time. Everything that falls due on the way is done. */
void gs_until(uint64_t ms); /* since the engine began */
void gs_heartbeat(void);    /* to the next one, that is */

/* A control entry from a peer: topic NULL for IWANT and IDONTWANT; ids separated by blanks. */
void gs_from(msub_session s, uint8_t kind, const char *topic, const char *ids, uint64_t backoff_s);
void gs_message(msub_session s, const char *topic, const char *id, size_t size); /* id, then zeros */
int gs_publish(msub_topic t, const char *id, size_t size);

/* What was sent since the last world_clear(). link 0: to anybody; topic, id NULL: any. */
size_t gs_sent(uint8_t kind, uint64_t link, const char *topic);      /* entries */
size_t gs_sent_ids(uint8_t kind, uint64_t link, const char *id);     /* ids in them */
size_t gs_sent_messages(uint64_t link, const char *id);
size_t gs_sent_rpcs(uint64_t link);
uint64_t gs_sent_backoff(uint64_t link, const char *topic, size_t *n_px); /* of the last PRUNE; UINT64_MAX: none */
/* Seeds of the peers that got one, ascending; how many. */
size_t gs_who(uint8_t kind, const char *topic, uint8_t out[256]);

/* The router's view. */
uint32_t gs_role(msub_topic t, uint8_t seed); /* roles of the peer, 0: not mentioned */
bool gs_in_mesh(msub_topic t, uint8_t seed);
size_t gs_count(msub_topic t, uint32_t role);
uint64_t gs_backoff(msub_topic t, uint8_t seed); /* ms since the engine began; UINT64_MAX: none */
#endif
