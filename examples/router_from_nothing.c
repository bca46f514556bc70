/* examples/router_from_nothing.c: a router of one's own, and what it does in virtual time.
 *
 * "rumour" sends a message on to a few random peers of its topic at once. Four times a second it tells one more peer of each topic
 * which messages it has heard of late (IHAVE); whoever lacks one asks (IWANT) and is served a few times. No mesh, and no state that
 * two peers have to agree on. It has a protocol id of its own, blocks for itself, for peers, topics and links, a cache, a timer and
 * random streams of its own.
 *
 *   cc router_from_nothing.c $(pkg-config --cflags --libs meshsub-sim) -o router && ./router
 *
 * Prints, for 1 to 4 random peers, how many of the messages arrived, how many copies that took and what asking repaired. */
#include <meshsub/sim.h>
#include <stdio.h>

/* ---- the router ---- */

typedef struct rumour_opts { unsigned fanout, ask_most, serve_most; uint64_t tick_ns; } rumour_opts;
typedef struct state { uint64_t next; uint32_t tick; } state;
typedef struct peer { uint32_t tick, asked; } peer; /* ids that it asked for in this tick */
typedef struct topic { uint32_t fresh; } topic;     /* for so many ticks there is something to tell */
typedef struct link { uint32_t told; } link;        /* tick in which the peer heard of the topic last */

enum { PICKS, TELLS }; /* random streams */
#define FRESH 8        /* ticks, which are the windows of the cache as well */

static int layout(msub_layout *l, const void *opts) {
  const rumour_opts *o = opts;
  if (!o || o->fanout == 0 || o->tick_ns == 0) return MSUB_ERR_INVAL;
  msub_layout_state(l, sizeof(state), 8);
  msub_layout_peer(l, sizeof(peer), 4);
  msub_layout_topic(l, sizeof(topic), 4);
  msub_layout_link(l, sizeof(link), 4);
  int err = msub_layout_protocol(l, "/rumour/1.0.0", 0);
  return err == MSUB_OK ? msub_layout_cache(l, FRESH, FRESH, 1 << 20) : err;
}

static int init(msub_router *r) {
  const rumour_opts *o = msub_r_opts(r);
  state *st = msub_r_state(r);
  st->next = msub_r_mono(r) + o->tick_ns;
  return MSUB_OK;
}

/* Its peer block is kept for a tick: nobody asks for more by coming back. */
static uint64_t retain(msub_router *r, msub_session s) {
  const rumour_opts *o = msub_r_opts(r);
  (void)s;
  return msub_r_mono(r) + o->tick_ns;
}

/* A few random peers of the topic, but neither who brought the message nor its author. */
static void publish(msub_router *r, msub_topic t, const msub_msg *m, msub_session from, msub_list *out) {
  const rumour_opts *o = msub_r_opts(r);
  topic *tt = msub_r_topic(r, t);
  msub_peer author = msub_r_peer_known(r, msub_from(m));
  size_t n = msub_r_links(r, t), first = out->n;
  for (size_t i = 0; i < n; i++) {
    msub_session s = msub_r_link_session(r, t, i);
    if (s.v != from.v && (author.v == 0 || msub_r_session_peer(r, s).v != author.v)) msub_list_add(out, s);
  }
  n = out->n - first;
  for (size_t i = 0; i < o->fanout && i < n; i++) { /* the first places, by lot */
    size_t k = i + msub_r_rand(r, PICKS, (uint32_t)(n - i));
    msub_session s = out->s[first + k];
    out->s[first + k] = out->s[first + i];
    out->s[first + i] = s;
  }
  if (n > o->fanout) out->n = first + o->fanout;
  tt->fresh = FRESH;
}

/* What another node says. Everything a peer can make us do is bounded: ids asked for by us, ids served to it. */
static void control(msub_router *r, msub_session s, const msub_ctl *c, bool more) {
  const rumour_opts *o = msub_r_opts(r);
  state *st = msub_r_state(r);
  peer *p = msub_r_peer(r, s);
  msub_bytes want[64];
  uint32_t n = 0;
  (void)more;
  if (p->tick != st->tick) *p = (peer){ .tick = st->tick };
  for (uint32_t i = 0; i < c->n; i++) {
    const msub_ctl_entry *e = &c->e[i];
    msub_topic t = msub_r_topic_of(r, e->topic_name);
    for (uint32_t k = 0; k < e->n_ids; k++) {
      if (e->kind == MSUB_C_IWANT && p->asked++ < o->ask_most) msub_r_serve(r, s, e->ids[k], o->serve_most);
      if (e->kind == MSUB_C_IHAVE && msub_r_joined(r, t) && n < 64 && !msub_r_seen(r, t, e->ids[k])) want[n++] = e->ids[k];
    }
  }
  msub_ctl_entry ask = { .kind = MSUB_C_IWANT, .ids = want, .n_ids = n };
  if (n) msub_r_send(r, &s, 1, &ask, 1, MSUB_LANE_CONTROL);
}

/* Tells a peer of the topic, one that has not heard for longest, what was new of late. */
static void tell(msub_router *r, msub_topic t, uint32_t tick) {
  msub_bytes ids[64];
  size_t n = msub_h_gossip_ids(r, t, ids, 64), links = msub_r_links(r, t);
  if (n == 0 || links == 0) return;
  size_t start = msub_r_rand(r, TELLS, (uint32_t)links), best = start;
  for (size_t i = 0; i < links; i++) {
    const link *a = msub_r_link_at(r, t, (start + i) % links), *b = msub_r_link_at(r, t, best);
    if (a->told < b->told) best = (start + i) % links;
  }
  ((link *)msub_r_link_at(r, t, best))->told = tick;
  msub_session to = msub_r_link_session(r, t, best);
  msub_ctl_entry e = { .kind = MSUB_C_IHAVE, .topic_name = msub_r_name(r, t), .ids = ids, .n_ids = (uint32_t)n };
  msub_r_send(r, &to, 1, &e, 1, MSUB_LANE_GOSSIP);
}

static uint64_t next_deadline(msub_router *r) { return ((const state *)msub_r_state(r))->next; }

static void advance(msub_router *r) {
  const rumour_opts *o = msub_r_opts(r);
  state *st = msub_r_state(r);
  if (msub_r_mono(r) < st->next) return;
  st->next = msub_r_mono(r) + o->tick_ns;
  st->tick++;
  for (size_t i = 0; i < msub_r_topics(r); i++) {
    msub_topic t = msub_r_topic_at(r, i);
    topic *tt = msub_r_topic(r, t);
    if (!tt || tt->fresh == 0) continue;
    tt->fresh--;
    tell(r, t, st->tick);
  }
  msub_h_shift(r); /* the cache, and the policies' own, turn a window further */
}

static const msub_router_ops rumour = { .abi = MSUB_ABI, .size = sizeof(msub_router_ops), .name = "rumour", .layout = layout,
                                        .init = init, .retain = retain, .control = control, .publish = publish,
                                        .next_deadline = next_deadline, .advance = advance };

/* ---- in virtual time: 60 nodes with six links each, one RPC in ten is lost ---- */

enum { NODES = 60, MESSAGES = 20 };

static bool on_message(void *ud, msub_sim *s, uint32_t node, msub_topic t, const msub_msg *m, uint32_t from) {
  (void)s, (void)node, (void)t, (void)m;
  if (from != MSUB_SIM_NOBODY) ++*(unsigned *)ud; /* not one's own */
  return true;
}

static int run(unsigned fanout) {
  const rumour_opts opts = { .fanout = fanout, .ask_most = 200, .serve_most = 3, .tick_ns = 250 * MSUB_SIM_MS };
  const msub_sim_router router = { &rumour, &opts };
  unsigned delivered = 0, copies = 0, asked = 0;
  msub_topic topics[NODES];
  msub_sim_opts o;
  msub_sim_node_opts n;
  msub_sim *s;
  msub_sim_opts_init(&o);
  o.link = (msub_sim_link){ .latency_ns = 20 * MSUB_SIM_MS, .jitter_ns = 10 * MSUB_SIM_MS, .loss_ppm = 100000 };
  msub_sim_node_opts_init(&n);
  n.routers = &router;
  n.n_routers = 1;
  n.ud = &delivered;
  n.on_message = on_message;
  if (msub_sim_new(&o, &s) != MSUB_OK || msub_sim_add(s, &n, NODES, NULL) != MSUB_OK) return 1;
  for (uint32_t i = 0; i < NODES; i++)
    msub_join(msub_sim_engine(s, i), 0, msub_str("news"), NULL, NULL, msub_sim_now(s, i), &topics[i]);
  msub_sim_connect_regular(s, 0, NODES, 6);
  msub_sim_run_for(s, MSUB_SIM_S);
  for (uint32_t i = 0; i < MESSAGES; i++) {
    uint32_t who = msub_sim_rand(s, MSUB_SIM_NOBODY, 0, NODES);
    msub_publish(msub_sim_engine(s, who), topics[who], msub_str("have you heard?"), msub_sim_now(s, who), NULL);
    msub_sim_run_for(s, 100 * MSUB_SIM_MS);
  }
  msub_sim_run_for(s, 5 * MSUB_SIM_S);
  for (uint32_t i = 0; i < NODES; i++) {
    const msub_counts *c = msub_count(msub_sim_engine(s, i));
    copies += (unsigned)c->messages_in;
    asked += (unsigned)c->served;
  }
  unsigned wanted = (NODES - 1) * MESSAGES;
  printf("%6u  %4u of %4u  %9.2f  %8u\n", fanout, delivered, wanted, (double)copies / wanted, asked);
  return msub_sim_free(s) != MSUB_OK || delivered != wanted;
}

int main(void) {
  int missing = 0;
  printf("%6s  %12s  %9s  %8s\n", "fanout", "delivered", "copies", "by asking");
  for (unsigned fanout = 1; fanout <= 4; fanout++) missing += run(fanout);
  return missing ? 1 : 0;
}
