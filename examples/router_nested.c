/* examples/router_nested.c: a router that nests gossipsub and changes one thing.
 *
 * "thrifty" sends a large message on to a few of the peers that gossipsub chose and leaves the others to gossip, which tells them
 * the id; who has not got it by then asks for it. All else is gossipsub: of its operations only `publish` is overridden.
 *
 *   cc router_nested.c $(pkg-config --cflags --libs meshsub-sim) -o nested && ./nested
 *
 * Prints both side by side in the same network: what arrived, how many copies that took, the bytes sent, and how long it took. A
 * thrifty router that finds everything small decides nothing, and leaves the very same trace as gossipsub alone. */
#include <meshsub/gossipsub.h>
#include <meshsub/sim.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the router ---- */

typedef struct thrifty_opts { size_t large; unsigned most; } thrifty_opts; /* data bytes; peers that get a large message at once */
typedef struct state { uint64_t spared; } state;                           /* of this level alone; gossipsub has its own */

static int layout(msub_layout *l, const void *opts) {
  if (!opts) return MSUB_ERR_INVAL;
  msub_layout_state(l, sizeof(state), 8);
  return msub_layout_nest(l, &msub_gossipsub, NULL); /* its options, or NULL: the defaults; it claims the protocol ids */
}

/* Asks the inner router whom it would send to, and keeps some by lot. An own message goes to all: somebody has to begin. */
static void publish(msub_router *r, msub_topic t, const msub_msg *m, msub_session from, msub_list *out) {
  const thrifty_opts *o = msub_r_opts(r);
  state *st = msub_r_state(r);
  size_t first = out->n;
  msub_x_publish(msub_r_inner(r), t, m, from, out);
  size_t n = out->n - first;
  if (from.v == 0 || msub_data(m).n < o->large || n <= o->most) return;
  for (size_t i = 0; i < o->most; i++) {
    size_t k = i + msub_r_rand(r, 0, (uint32_t)(n - i));
    msub_session s = out->s[first + k];
    out->s[first + k] = out->s[first + i];
    out->s[first + i] = s;
  }
  out->n = first + o->most;
  st->spared += n - o->most;
}

enum { THRIFTY_SPARED = 1000 }; /* msub_command(): an uint64_t *, where the number of spared copies goes */
static int command(msub_router *r, uint32_t what, const void *arg, size_t n) {
  uint64_t *to;
  if (what != THRIFTY_SPARED) return msub_x_command(msub_r_inner(r), what, arg, n);
  if (n != sizeof to) return MSUB_ERR_INVAL;
  memcpy(&to, arg, n);
  *to = ((const state *)msub_r_state(r))->spared;
  return MSUB_OK;
}

static const msub_router_ops thrifty = { .abi = MSUB_ABI, .size = sizeof(msub_router_ops), .name = "thrifty", .layout = layout,
                                         .publish = publish, .command = command };

/* ---- in virtual time: 80 nodes with 20 Mbit/s, ten links each, messages of 32 KiB ---- */

enum { NODES = 80, MESSAGES = 10, SIZE = 32 * 1024 };

typedef struct result { unsigned delivered, copies; double mib, median_ms, last_ms; uint64_t spared; uint8_t hash[16]; } result;
static uint64_t published, took[NODES * MESSAGES];
static unsigned n_took;

static bool on_message(void *ud, msub_sim *s, uint32_t node, msub_topic t, const msub_msg *m, uint32_t from) {
  (void)ud, (void)node, (void)t, (void)m;
  if (from != MSUB_SIM_NOBODY) took[n_took++] = msub_sim_time(s) - published;
  return true;
}
static int ascending(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static bool run(const msub_sim_router *router, result *out) {
  static const uint8_t data[SIZE];
  msub_topic topics[NODES];
  msub_sim_opts o;
  msub_sim_node_opts n;
  msub_sim *s;
  n_took = 0;
  *out = (result){ 0 };
  msub_sim_opts_init(&o);
  o.link.latency_ns = 25 * MSUB_SIM_MS;
  msub_sim_node_opts_init(&n);
  n.routers = router;
  n.n_routers = 1;
  n.up_bytes_s = n.down_bytes_s = 20000000 / 8;
  n.on_message = on_message;
  if (msub_sim_new(&o, &s) != MSUB_OK || msub_sim_add(s, &n, NODES, NULL) != MSUB_OK) return false;
  for (uint32_t i = 0; i < NODES; i++)
    msub_join(msub_sim_engine(s, i), 0, msub_str("blocks"), NULL, NULL, msub_sim_now(s, i), &topics[i]);
  msub_sim_connect_regular(s, 0, NODES, 10);
  msub_sim_run_for(s, 5 * MSUB_SIM_S);
  for (uint32_t i = 0; i < MESSAGES; i++) {
    uint32_t who = i * 7;
    published = msub_sim_time(s);
    msub_publish(msub_sim_engine(s, who), topics[who], (msub_bytes){ data, SIZE }, msub_sim_now(s, who), NULL);
    msub_sim_run_for(s, 6 * MSUB_SIM_S);
  }
  for (uint32_t i = 0; i < NODES; i++) {
    uint64_t spared = 0, *to = &spared;
    if (router->ops == &thrifty) msub_command(msub_sim_engine(s, i), 0, THRIFTY_SPARED, &to, sizeof to, msub_sim_now(s, i));
    out->spared += spared;
    out->copies += (unsigned)msub_count(msub_sim_engine(s, i))->messages_in;
    out->mib += (double)msub_sim_traffic_of(s, i).bytes_out / (1 << 20);
  }
  qsort(took, n_took, sizeof took[0], ascending);
  out->delivered = n_took;
  out->median_ms = n_took ? (double)took[n_took / 2] / 1e6 : 0;
  out->last_ms = n_took ? (double)took[n_took - 1] / 1e6 : 0;
  msub_sim_hash(s, out->hash);
  return msub_sim_free(s) == MSUB_OK && n_took == (NODES - 1) * MESSAGES;
}

static void print(const char *name, const result *r) {
  printf("%-22s %4u  %6.2f  %7.1f  %8.0f  %7.0f  %6llu\n", name, r->delivered, (double)r->copies / ((NODES - 1) * MESSAGES), r->mib,
         r->median_ms, r->last_ms, (unsigned long long)r->spared);
}

int main(void) {
  static const thrifty_opts three = { .large = 8 * 1024, .most = 3 }, never = { .large = SIZE_MAX, .most = 0 };
  const msub_sim_router bare = { &msub_gossipsub, NULL }, nested = { &thrifty, &three }, idle = { &thrifty, &never };
  result a, b, c;
  if (!run(&bare, &a) || !run(&nested, &b) || !run(&idle, &c)) return 1;
  printf("%-22s %4s  %6s  %7s  %8s  %7s  %6s\n", "router", "got", "copies", "MiB", "median", "last ms", "spared");
  print("gossipsub", &a);
  print("thrifty", &b);
  print("thrifty, nothing large", &c);
  bool same = memcmp(a.hash, c.hash, sizeof a.hash) == 0;
  puts(same ? "the first and the last left the same trace" : "the first and the last left DIFFERENT traces");
  return same && b.copies < a.copies ? 0 : 1;
}
