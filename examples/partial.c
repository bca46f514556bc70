/* examples/partial.c: a message of many parts, of which each node has a few: with partial messages they fill each other's holes, and
 * it costs a fraction of the bytes that whole messages do.
 *
 * The message has 64 parts of 1 KiB. Metadata is a bitmap of the parts that a node has; a partial message is a bitmap and the parts
 * that are in it, in order. Three runs in virtual time:
 *
 *   whole   the nodes that have a part publish it as a message of its own, which goes everywhere
 *   lazy    metadata first: parts go to those who have said that they lack them
 *   eager   whoever has parts pushes them to peers that have said nothing yet
 *
 * Build: cc partial.c $(pkg-config --cflags --libs meshsub-sim). */
#include <meshsub/gossipsub.h>
#include <meshsub/partial.h>
#include <meshsub/sim.h>
#include <stdio.h>
#include <string.h>

enum { NODES = 40, PARTS = 64, PART = 1024, DEGREE = 10 };

typedef struct node {
  uint64_t have;                /* bit i: part i */
  uint64_t done_at;             /* when the last one came; 0: not yet */
  msub_sim *sim;
  uint8_t parts[PARTS][PART];
  unsigned whole;               /* messages, in the first run */
} node;
static node nodes[NODES];
static bool eager;

/* ---- what a peer knows ---- */

/* Of each peer of the group; it begins as zeroes. */
typedef struct known {
  uint64_t has, told; /* parts that the peer has, as far as we know; what we told it that we have */
  bool spoke, said;   /* it has sent metadata; we have */
} known;

/* ---- bytes ---- */

static void put_bits(uint8_t out[8], uint64_t bits) {
  for (unsigned i = 0; i < 8; i++) out[i] = (uint8_t)(bits >> 8 * i);
}
static uint64_t get_bits(msub_bytes b) {
  uint64_t bits = 0;
  for (unsigned i = 0; i < 8 && i < b.n; i++) bits |= (uint64_t)b.p[i] << 8 * i;
  return bits;
}
static unsigned count(uint64_t bits) {
  unsigned n = 0;
  for (; bits; bits &= bits - 1) n++;
  return n;
}
static uint8_t content(unsigned part, unsigned at) { return (uint8_t)(part * 7 + at); }

/* ---- the hooks ---- */

static const msub_bytes group = { (const uint8_t *)"block 1", 7 };

/* What goes to the peer: the parts that it lacks, and our bitmap when it has not heard of it. The buffer holds until the RPC was
 * sent, which is before the next call. */
static void give(const msub_channel *c, msub_bytes g, msub_partial_peer *p, msub_partial_out *out) {
  static uint8_t message[8 + PARTS * PART], metadata[8];
  const node *n = c->ctx;
  known *k = p->state;
  (void)g;
  uint64_t send = p->requests && (k->spoke || eager) ? n->have & ~k->has : 0;
  if (send) {
    size_t at = 8;
    put_bits(message, send);
    for (unsigned i = 0; i < PARTS; i++)
      if (send >> i & 1) {
        memcpy(message + at, n->parts[i], PART);
        at += PART;
      }
    out->message = (msub_bytes){ message, at };
    k->has |= send; /* holds if the RPC went */
  }
  if (k->said && k->told == n->have && k->spoke) return;
  put_bits(metadata, n->have);
  out->metadata = (msub_bytes){ metadata, 8 };
  k->told = n->have;
  k->said = true;
}

/* In a heartbeat, to peers outside the mesh: what we have, no parts. */
static void gossip(const msub_channel *c, msub_bytes g, msub_partial_peer *p, msub_partial_out *out) {
  static uint8_t metadata[8];
  const node *n = c->ctx;
  (void)g;
  put_bits(metadata, n->have);
  out->metadata = (msub_bytes){ metadata, 8 };
  known *k = p->state;
  k->told = n->have;
  k->said = true;
}

/* Merge first; then say what is new, to whomever it concerns. Everything in the RPC is a stranger's. */
static msub_verdict take(const msub_channel *c, msub_bytes g, msub_partial_peer *p, msub_bytes message, msub_bytes metadata) {
  node *n = c->ctx;
  known *k = p->state;
  uint64_t before = n->have;
  if (!msub_bytes_eq(g, group)) return MSUB_IGNORE;
  if (message.n) {
    uint64_t in = get_bits(message);
    if (message.n != 8 + (size_t)count(in) * PART) return MSUB_REJECT;
    const uint8_t *from = message.p + 8;
    for (unsigned i = 0; i < PARTS; i++) {
      if (!(in >> i & 1)) continue;
      if (!(n->have >> i & 1)) memcpy(n->parts[i], from, PART);
      from += PART;
    }
    n->have |= in;
    k->has |= in;
  }
  if (metadata.n) {
    if (metadata.n != 8) return MSUB_REJECT;
    k->has |= get_bits(metadata); /* what we have sent it since may not be in there yet */
    k->spoke = true;
  }
  if (n->have == UINT64_MAX && !n->done_at) n->done_at = msub_sim_time(n->sim);
  if (n->have != before || (k->spoke && n->have & ~k->has) || k->told != n->have)
    msub_partial_publish(c->engine, c->topic, group, NULL, NULL, 0, NULL);
  return MSUB_ACCEPT;
}

static const msub_partial_ops partial = { .abi = MSUB_ABI, .size = sizeof(msub_partial_ops), .mode = MSUB_PARTIAL_REQUESTS,
                                          .state_bytes = sizeof(known), .take = take, .give = give, .gossip = gossip };
static const msub_channel_policy in_parts = { .abi = MSUB_ABI, .size = sizeof(msub_channel_policy), .name = "in parts", .partial = &partial };
static const msub_channel_policy in_one = { .abi = MSUB_ABI, .size = sizeof(msub_channel_policy), .name = "in one" };

/* ---- a run ---- */

/* A part as a message: its number, then its bytes. */
static bool on_message(void *ud, msub_sim *s, uint32_t no, msub_topic t, const msub_msg *m, uint32_t from) {
  (void)ud, (void)t, (void)from;
  node *n = &nodes[no];
  msub_bytes d = msub_data(m);
  if (d.n != 1 + PART || d.p[0] >= PARTS) return true;
  memcpy(n->parts[d.p[0]], d.p + 1, PART);
  n->have |= UINT64_C(1) << d.p[0];
  if (n->have == UINT64_MAX && !n->done_at) n->done_at = msub_sim_time(s);
  return true;
}

static bool complete(const node *n) {
  if (n->have != UINT64_MAX) return false;
  for (unsigned i = 0; i < PARTS; i++)
    for (unsigned k = 0; k < PART; k++)
      if (n->parts[i][k] != content(i, k)) return false;
  return true;
}

static int run(const char *name, bool parts, bool push) {
  msub_gossipsub_opts gs;
  msub_sim_opts o;
  msub_sim_node_opts n;
  msub_sim *s;
  msub_topic topics[NODES];
  msub_gossipsub_opts_init(&gs);
  gs.extensions.partial = parts;
  const msub_sim_router router = { &msub_gossipsub, &gs };
  msub_sim_opts_init(&o);
  o.link.latency_ns = 20 * MSUB_SIM_MS;
  msub_sim_node_opts_init(&n);
  n.routers = &router;
  n.n_routers = 1;
  n.up_bytes_s = 12500000; /* 100 Mbit/s */
  n.lane_bytes[MSUB_LANE_FORWARD] = 4 << 20;
  n.on_message = on_message;
  eager = push;
  memset(nodes, 0, sizeof nodes);
  if (msub_sim_new(&o, &s) != MSUB_OK || msub_sim_add(s, &n, NODES, NULL) != MSUB_OK) return 1;
  for (uint32_t i = 0; i < NODES; i++) {
    nodes[i].sim = s;
    msub_join(msub_sim_engine(s, i), 0, msub_str("blocks"), parts ? &in_parts : &in_one, &nodes[i], msub_sim_now(s, i), &topics[i]);
  }
  msub_sim_connect_regular(s, 0, NODES, DEGREE);
  msub_sim_run_for(s, 5 * MSUB_SIM_S);
  uint64_t began = msub_sim_time(s), bytes = 0, last = 0;
  for (uint32_t i = 0; i < NODES; i++) bytes -= msub_sim_traffic_of(s, i).bytes_out;
  for (uint32_t i = 0; i < NODES; i++) { /* most nodes have most parts already, as they would from elsewhere */
    for (unsigned k = 0; k < PARTS; k++) {
      bool mine = k == (unsigned)i % PARTS || (unsigned)(k * 31 + i * 17) % 10 < 7 || (i < PARTS - NODES && k == i + NODES);
      if (!mine) continue;
      nodes[i].have |= UINT64_C(1) << k;
      for (unsigned b = 0; b < PART; b++) nodes[i].parts[k][b] = content(k, b);
    }
  }
  for (uint32_t i = 0; i < NODES; i++) {
    if (parts) {
      msub_partial_publish(msub_sim_engine(s, i), topics[i], group, NULL, NULL, 0, msub_sim_now(s, i));
      continue;
    }
    for (unsigned k = i; k < PARTS; k += NODES) { /* somebody has to: each part has one who sends it */
      uint8_t data[1 + PART] = { (uint8_t)k };
      for (unsigned b = 0; b < PART; b++) data[1 + b] = content(k, b);
      msub_publish(msub_sim_engine(s, i), topics[i], (msub_bytes){ data, sizeof data }, msub_sim_now(s, i), NULL);
    }
  }
  msub_sim_run_for(s, 3 * MSUB_SIM_S);
  unsigned whole = 0;
  for (uint32_t i = 0; i < NODES; i++) {
    bytes += msub_sim_traffic_of(s, i).bytes_out;
    whole += complete(&nodes[i]);
    if (nodes[i].done_at > last) last = nodes[i].done_at;
  }
  printf("%-6s  %3u of %3u  %8.2f MiB  %5llu ms\n", name, whole, (unsigned)NODES, (double)bytes / (1 << 20),
         (unsigned long long)((last > began ? last - began : 0) / MSUB_SIM_MS));
  return msub_sim_free(s) != MSUB_OK || whole != NODES;
}

int main(void) {
  printf("%-6s  %10s  %12s  %8s\n", "", "complete", "sent", "last one");
  int failed = run("whole", false, false);
  failed |= run("lazy", true, false);
  failed |= run("eager", true, true);
  return failed;
}
