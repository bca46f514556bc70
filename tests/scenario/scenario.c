#include "scenario.h"
#include "count_mem.h"
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_MAX (2u << 20)

/* ---- failing ---- */

static const char *running;
static bool failing;      /* allocations do: checks end the scenario quietly */
static jmp_buf out;

void sc_failed(const char *file, int line, const char *what) {
  if (failing) longjmp(out, 1);
  fprintf(stderr, "%s: %s:%d: not true: %s\n", running, file, line, what);
  exit(1);
}
void sc_check_eq(const char *file, int line, const char *what, uint64_t a, uint64_t b) {
  if (a == b) return;
  if (!failing) fprintf(stderr, "%llu, %llu: ", (unsigned long long)a, (unsigned long long)b);
  sc_failed(file, line, what);
}
void sc_ok(const char *file, int line, const char *what, int err) {
  if (err == MSUB_OK) return;
  if (!failing) fprintf(stderr, "%s: ", msub_err_name(err));
  sc_failed(file, line, what);
}

/* ---- memory ---- */

static count_mem heap;

size_t sc_memory(void) { return heap.live_bytes; }

/* ---- messages: a number, then zeroes ---- */

static uint32_t number_of(msub_bytes b) {
  return b.n >= 4 ? (uint32_t)b.p[0] << 24 | (uint32_t)b.p[1] << 16 | (uint32_t)b.p[2] << 8 | b.p[3] : 0;
}
static void put_number(uint8_t *p, uint32_t x) {
  for (unsigned i = 0; i < 4; i++) p[i] = (uint8_t)(x >> (24 - 8 * i));
}
static size_t id_is_number(const msub_msg *m, uint8_t id[MSUB_MAX_ID]) {
  msub_bytes d = msub_data(m);
  if (d.n < 4) return 0;
  memcpy(id, d.p, 4);
  return 4;
}

static void copy_name(char to[32], msub_bytes b) {
  size_t n = b.n < 31 ? b.n : 31;
  if (n) memcpy(to, b.p, n);
  to[n] = 0;
}

static bool on_message(void *ud, msub_sim *s, uint32_t node, msub_topic t, const msub_msg *m, uint32_t from) {
  sc *c = ud;
  if (c->n_got == c->cap_got) {
    c->cap_got = c->cap_got ? c->cap_got * 2 : 1024;
    c->got = realloc(c->got, c->cap_got * sizeof *c->got);
    CHECK(c->got);
  }
  sc_got *g = &c->got[c->n_got];
  *g = (sc_got){ .node = node, .from = from, .number = number_of(msub_data(m)), .router = t.v >> 29 };
  g->at = msub_sim_time(s);
  g->n = msub_data(m).n;
  copy_name(g->topic, msub_name_bytes(msub_sim_shared(s), msub_topic_name(msub_sim_engine(s, node), t)));
  if (c->on_got && !c->on_got(c, g)) return false;
  c->n_got++;
  return true;
}

/* ---- raw nodes ---- */

static void hear(sc *c, const sc_heard *h) {
  if (c->n_heard == c->cap_heard) {
    c->cap_heard = c->cap_heard ? c->cap_heard * 2 : 1024;
    c->heard = realloc(c->heard, c->cap_heard * sizeof *c->heard);
    CHECK(c->heard);
  }
  c->heard[c->n_heard++] = *h;
  if (h->kind == MSUB_C_GRAFT && c->prune_grafts) sc_raw_prune(c, h->node, h->peer, h->topic, 0);
  if (c->on_heard) c->on_heard(c, h);
}

static void on_frame(void *ud, msub_sim *s, uint32_t node, uint32_t peer, const char *id, msub_bytes frame) {
  static const int kinds[] = { [MSUB_P_MESSAGE] = SC_MESSAGE,
                               [MSUB_P_IHAVE] = MSUB_C_IHAVE,
                               [MSUB_P_IWANT] = MSUB_C_IWANT,
                               [MSUB_P_GRAFT] = MSUB_C_GRAFT,
                               [MSUB_P_PRUNE] = MSUB_C_PRUNE,
                               [MSUB_P_IDONTWANT] = MSUB_C_IDONTWANT,
                               [MSUB_P_SUBSCRIPTION] = MSUB_C_SUB };
  sc *c = ud;
  (void)id;
  msub_rpc_iter it;
  msub_rpc_part part;
  c->rpcs_heard++;
  msub_rpc_begin(&it, frame);
  for (msub_part k; (k = msub_rpc_next(&it, &part)) != MSUB_P_END;) {
    if (k > MSUB_P_IDONTWANT) continue;
    sc_heard h = { .node = node, .peer = peer, .rpc = c->rpcs_heard, .at = msub_sim_time(s), .kind = kinds[k],
                   .rpc_n = frame.n };
    bool ids = k == MSUB_P_IHAVE || k == MSUB_P_IWANT || k == MSUB_P_IDONTWANT;
    if (k == MSUB_P_SUBSCRIPTION && !part.subscribe) h.kind = MSUB_C_UNSUB;
    if (k == MSUB_P_MESSAGE) {
      h.number = number_of(part.msg.data);
      copy_name(h.topic, part.msg.topic);
    } else if (k == MSUB_P_PRUNE) {
      h.backoff_s = part.backoff_s;
    }
    if (k == MSUB_P_SUBSCRIPTION || k == MSUB_P_IHAVE || k == MSUB_P_GRAFT || k == MSUB_P_PRUNE)
      copy_name(h.topic, part.topic);
    if (!ids) {
      hear(c, &h);
      continue;
    }
    msub_bytes one;
    while (msub_ids_next(&part.ids, &one)) { /* one for each id */
      h.n_ids++;
      h.number = number_of(one);
      hear(c, &h);
    }
  }
}
static const msub_sim_raw raw = { .abi = MSUB_ABI, .size = sizeof(msub_sim_raw), .on_frame = on_frame };

const char *const sc_v12[] = { "/meshsub/1.2.0", NULL }, *const sc_v11[] = { "/meshsub/1.1.0", NULL },
                  *const sc_v10[] = { "/meshsub/1.0.0", NULL };

/* ---- building ---- */

void sc_begin(sc *c) {
  msub_mem mem = count_mem_of(&heap);
  c->o.mem = &mem;
  OK(msub_sim_new(&c->o, &c->s));
  c->o.mem = NULL;
}

uint32_t sc_add(sc *c, uint32_t count) {
  uint32_t first = 0;
  if (c->numbers) c->engine.sign = MSUB_STRICT_NO_SIGN;
  OK(msub_sim_add(c->s, &c->n, count, &first));
  return first;
}
uint32_t sc_add_floodsub(sc *c, uint32_t count) {
  msub_sim_router was = c->routers[0];
  c->routers[0] = (msub_sim_router){ &msub_floodsub, NULL };
  uint32_t first = sc_add(c, count);
  c->routers[0] = was;
  return first;
}
uint32_t sc_add_raw(sc *c, const char *const *ids) {
  msub_sim_node_opts n = c->n;
  uint32_t first = 0;
  n.raw = &raw;
  n.raw_protocols = ids;
  n.routers = NULL;
  n.n_routers = 0;
  n.up_bytes_s = n.down_bytes_s = 0;
  OK(msub_sim_add(c->s, &n, 1, &first));
  c->n_raw++;
  return first;
}

msub_engine *sc_engine(const sc *c, uint32_t node) { return msub_sim_engine(c->s, node); }
const msub_now *sc_now(sc *c, uint32_t node) { return msub_sim_now(c->s, node); }
msub_topic sc_topic_of(const sc *c, uint32_t node, unsigned router, const char *name) {
  return msub_topic_named(sc_engine(c, node), router, msub_str(name));
}
msub_topic sc_topic(const sc *c, uint32_t node, const char *name) { return sc_topic_of(c, node, 0, name); }

void sc_join_by(sc *c, uint32_t node, unsigned router, const char *topic) {
  msub_topic t;
  OK(msub_join(sc_engine(c, node), router, msub_str(topic), c->numbers ? &c->policy : NULL, c, sc_now(c, node), &t));
}
void sc_join(sc *c, uint32_t node, const char *topic) { sc_join_by(c, node, 0, topic); }
void sc_join_range(sc *c, uint32_t first, uint32_t n, const char *topic) {
  for (uint32_t i = first; i < first + n; i++) sc_join(c, i, topic);
}
void sc_open(sc *c, uint32_t node, const char *topic) {
  msub_topic t;
  OK(msub_open(sc_engine(c, node), 0, msub_str(topic), c->numbers ? &c->policy : NULL, c, sc_now(c, node), &t));
}
void sc_leave(sc *c, uint32_t node, const char *topic) {
  OK(msub_leave(sc_engine(c, node), sc_topic(c, node, topic), sc_now(c, node)));
}
void sc_run(sc *c, uint64_t ns) { OK(msub_sim_run_for(c->s, ns)); }
void sc_connect(sc *c, uint32_t a, uint32_t b) { OK(msub_sim_connect(c->s, a, b, 0)); }
uint32_t sc_rand(sc *c, uint32_t below) { return msub_sim_rand(c->s, MSUB_SIM_NOBODY, 1, below); }

/* ---- traffic ---- */

int sc_try_publish(sc *c, uint32_t node, unsigned router, const char *topic, uint32_t number, size_t n) {
  static uint8_t data[FRAME_MAX];
  if (n < 8) n = 8;
  CHECK(n <= sizeof data);
  put_number(data, number);
  return msub_publish(sc_engine(c, node), sc_topic_of(c, node, router, topic), (msub_bytes){ data, n }, sc_now(c, node),
                      NULL);
}
void sc_publish(sc *c, uint32_t node, const char *topic, uint32_t number, size_t n) {
  OK(sc_try_publish(c, node, 0, topic, number, n));
}

unsigned sc_times(const sc *c, uint32_t node, uint32_t number) {
  unsigned n = 0;
  for (size_t i = 0; i < c->n_got; i++) n += c->got[i].node == node && c->got[i].number == number;
  return n;
}
const sc_got *sc_find(const sc *c, uint32_t node, uint32_t number) {
  for (size_t i = 0; i < c->n_got; i++)
    if (c->got[i].node == node && c->got[i].number == number) return &c->got[i];
  return NULL;
}
void sc_all_got(const char *file, int line, const sc *c, uint32_t first, uint32_t n, uint32_t number) {
  for (uint32_t i = first; i < first + n; i++) {
    unsigned times = sc_times(c, i, number);
    if (times == 1) continue;
    if (!failing) fprintf(stderr, "node %u got message %u %u times: ", i, number, times);
    sc_failed(file, line, "each got it once");
  }
}
unsigned sc_total(const sc *c, uint32_t node) {
  unsigned n = 0;
  for (size_t i = 0; i < c->n_got; i++) n += c->got[i].node == node;
  return n;
}

void sc_traffic(sc *c, uint32_t first, uint32_t n, const char *topic, uint32_t number, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    c->n_got = 0; /* each is looked for on its own */
    sc_publish(c, first + sc_rand(c, n), topic, number + i, 16);
    sc_run(c, 100 * MS);
    ALL_GOT(c, first, n, number + i);
  }
}

/* ---- the router's view ---- */

static size_t snapshot(sc *c, uint32_t node, const char *topic, msub_peer_state out_[SC_NODES]) {
  size_t n = msub_snapshot(sc_engine(c, node), sc_topic(c, node, topic), out_, SC_NODES);
  CHECK(n <= SC_NODES);
  return n;
}
uint32_t sc_roles(sc *c, uint32_t node, uint32_t peer, const char *topic) {
  static msub_peer_state all[SC_NODES];
  size_t n = snapshot(c, node, topic, all);
  for (size_t i = 0; i < n; i++)
    if (msub_sim_node_of(c->s, all[i].peer) == peer) return all[i].roles;
  return 0;
}
unsigned sc_with_role(sc *c, uint32_t node, const char *topic, uint32_t role) {
  static msub_peer_state all[SC_NODES];
  size_t n = snapshot(c, node, topic, all);
  unsigned with = 0;
  for (size_t i = 0; i < n; i++) with += (all[i].roles & role) != 0;
  return with;
}
uint64_t sc_backoff(sc *c, uint32_t node, uint32_t peer, const char *topic) {
  static msub_peer_state all[SC_NODES];
  size_t n = snapshot(c, node, topic, all);
  uint64_t now = msub_sim_time(c->s);
  for (size_t i = 0; i < n; i++)
    if (msub_sim_node_of(c->s, all[i].peer) == peer && (all[i].roles & MSUB_ROLE_BACKOFF) && all[i].backoff_ns > now)
      return all[i].backoff_ns - now;
  return 0;
}

/* ---- what raw nodes say: maybe out of a callback, which must not be left by a jump ---- */

static void send_raw(sc *c, uint32_t node, uint32_t peer, msub_bytes frame) {
  int err = msub_sim_raw_send(c->s, node, peer, NULL, frame);
  if (!failing) OK(err);
}

void sc_raw_ctl(sc *c, uint32_t node, uint32_t peer, const msub_ctl_entry *e, const char *const *topics, size_t n) {
  static uint8_t buf[FRAME_MAX];
  msub_bytes names[64];
  CHECK(n <= 64);
  for (size_t i = 0; i < n; i++) names[i] = topics[i] ? msub_str(topics[i]) : (msub_bytes){ NULL, 0 };
  size_t len = msub_ctl_encode(e, names, n, buf, sizeof buf);
  CHECK(len <= sizeof buf);
  send_raw(c, node, peer, (msub_bytes){ buf, len });
}
void sc_raw_sub(sc *c, uint32_t node, uint32_t peer, const char *topic, bool on) {
  sc_raw_ctl(c, node, peer, &(msub_ctl_entry){ .kind = on ? MSUB_C_SUB : MSUB_C_UNSUB }, &topic, 1);
}
void sc_raw_graft(sc *c, uint32_t node, uint32_t peer, const char *topic) {
  sc_raw_ctl(c, node, peer, &(msub_ctl_entry){ .kind = MSUB_C_GRAFT }, &topic, 1);
}
void sc_raw_prune(sc *c, uint32_t node, uint32_t peer, const char *topic, uint64_t backoff_s) {
  sc_raw_ctl(c, node, peer, &(msub_ctl_entry){ .kind = MSUB_C_PRUNE, .backoff_s = backoff_s }, &topic, 1);
}
void sc_raw_ids(sc *c, uint32_t node, uint32_t peer, msub_ctl_kind kind, const char *topic, const uint32_t *numbers,
                size_t n) {
  static uint8_t bytes[8192][4];
  static msub_bytes ids[8192];
  CHECK(n <= 8192);
  for (size_t i = 0; i < n; i++) {
    put_number(bytes[i], numbers[i]);
    ids[i] = (msub_bytes){ bytes[i], 4 };
  }
  sc_raw_ctl(c, node, peer, &(msub_ctl_entry){ .kind = (uint8_t)kind, .n_ids = (uint32_t)n, .ids = ids }, &topic, 1);
}
void sc_raw_message(sc *c, uint32_t node, uint32_t peer, const char *topic, uint32_t number, size_t n) {
  static uint8_t data[FRAME_MAX], wire[FRAME_MAX + 1024];
  CHECK(c->numbers && n <= sizeof data && n >= 8);
  put_number(data, number);
  msub_msg_view v = { .data = { data, n }, .topic = msub_str(topic), .present = MSUB_HAS_DATA | MSUB_HAS_TOPIC };
  size_t len = msub_msg_encode(&v, NULL, 0), head = 1 + msub_varint_size(len);
  wire[0] = 0x12;
  msub_varint_put(wire + 1, len);
  msub_msg_encode(&v, wire + head, len);
  send_raw(c, node, peer, (msub_bytes){ wire, head + len });
}

unsigned sc_heard_count(const sc *c, uint32_t node, int kind, const char *topic, uint32_t number) {
  unsigned n = 0;
  for (size_t i = 0; i < c->n_heard; i++) {
    const sc_heard *h = &c->heard[i];
    n += h->node == node && h->kind == kind && (!topic || strcmp(h->topic, topic) == 0) &&
        (number == SC_ANY || h->number == number);
  }
  return n;
}
const sc_heard *sc_heard_first(const sc *c, uint32_t node, int kind, uint32_t number) {
  for (size_t i = 0; i < c->n_heard; i++) {
    const sc_heard *h = &c->heard[i];
    if (h->node == node && h->kind == kind && (number == SC_ANY || h->number == number)) return h;
  }
  return NULL;
}

/* ---- running ---- */

static sc the;

/* Where all go by the rules nobody asks for what it was not told of, whatever was lost and whoever came back. */
static void no_ask_was_refused(const sc *c) {
  for (uint32_t i = 0; i < msub_sim_nodes(c->s); i++) {
    const msub_engine *e = sc_engine(c, i);
    if (e) CHECK_EQ(msub_count(e)->asks_unadvertised, 0);
  }
}

/* Once; the hash of its trace. */
static void run_once(const sc_scenario *x, bool wire, uint8_t hash[16]) {
  memset(&the, 0, sizeof the);
  running = x->name;
  msub_sim_opts_init(&the.o);
  the.o.seed = 42;
  the.o.wire = wire;
  msub_sim_node_opts_init(&the.n);
  the.n.up_bytes_s = the.n.down_bytes_s = 2500000;
  msub_engine_opts_init(&the.engine);
  msub_gossipsub_opts_init(&the.gs);
  the.gs.mesh.flood_publish = false; /* as the reference's default */
  the.routers[0] = (msub_sim_router){ &msub_gossipsub, &the.gs };
  the.n.routers = the.routers;
  the.n.n_routers = 1;
  the.n.engine = &the.engine;
  the.n.ud = &the;
  the.n.on_message = on_message;
  the.policy = (msub_channel_policy){ .abi = MSUB_ABI, .size = sizeof the.policy, .name = "numbers",
                                      .message_id = id_is_number };
  memset(hash, 0, 16);
  if (setjmp(out) == 0) {
    x->run(&the);
    if (the.s && !the.n_raw) no_ask_was_refused(&the);
    if (the.s) msub_sim_hash(the.s, hash);
  }
  if (the.s && msub_sim_free(the.s) != MSUB_OK) {
    fprintf(stderr, "%s: the simulation cannot be freed\n", x->name);
    exit(1);
  }
  free(the.got);
  free(the.heard);
  if (heap.live_blocks || heap.live_bytes) {
    fprintf(stderr, "%s: %zu blocks of %zu bytes are left\n", x->name, heap.live_blocks, heap.live_bytes);
    exit(1);
  }
}

static void run_both(const sc_scenario *x) {
  uint8_t a[16], b[16];
  run_once(x, false, a);
  run_once(x, true, b);
  printf("%-32s ", x->name);
  for (unsigned i = 0; i < 16; i++) printf("%02x", a[i]);
  printf("\n");
  fflush(stdout);
  if (memcmp(a, b, 16) == 0) return;
  fprintf(stderr, "%s: as frames the trace is another one\n", x->name);
  exit(1);
}

static size_t run_failing(const sc_scenario *x, size_t step) {
  uint8_t h[16];
  failing = true; /* this run, too: what an earlier one left unfinished is no fault of this one */
  heap = (count_mem){ 0 };
  run_once(x, false, h);
  size_t all = heap.allocs, n = 0;
  for (size_t at = 1; at <= all; at += step, n++) {
    heap.fail_after = at;
    run_once(x, false, h);
  }
  printf("%-32s %zu of %zu allocations failed\n", x->name, n, all);
  fflush(stdout);
  heap.fail_after = 0;
  return n;
}

int main(int argc, char **argv) {
  size_t step = argc == 3 && strcmp(argv[1], "--fail") == 0 ? strtoul(argv[2], NULL, 10) : 0, ran = 0, failed = 0;
  for (const sc_scenario *x = sc_scenarios; x->name; x++) {
    bool wanted = argc == 1 || step;
    for (int i = 1; i < argc && !step; i++) wanted |= strcmp(argv[i], x->name) == 0;
    if (!wanted) continue;
    ran++;
    if (step) failed += run_failing(x, step);
    else run_both(x);
  }
  if (ran < (argc == 1 || step ? 1u : (size_t)argc - 1)) {
    fprintf(stderr, "there is no such scenario\n");
    return 1;
  }
  if (step) printf("%zu allocations failed in %zu scenarios\n", failed, ran);
  return 0;
}
