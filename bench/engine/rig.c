#include "bench/engine/engine.h"
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MUST(c) ((c) ? (void)0 : (fprintf(stderr, "meshsub-bench: %s:%d: %s failed\n", __FILE__, __LINE__, #c), exit(1)))
#define OUT_BYTES (4u << 20)

static void *count_alloc(void *ud, size_t n) {
  void *p = malloc(n ? n : 1);
  if (p) ((rig *)ud)->live += malloc_usable_size(p) + 8;
  return p;
}
static void count_free(void *ud, void *p, size_t n) {
  (void)n;
  if (p) ((rig *)ud)->live -= malloc_usable_size(p) + 8;
  free(p);
}

/* As a transport would: the length, then the RPC, one behind the other. */
static int send(void *ud, uint64_t link, msub_session s, const msub_rpc *rpc, msub_lane lane) {
  rig *r = ud;
  (void)link, (void)s, (void)lane;
  size_t n = msub_varint_put(r->out, rpc->wire_size);
  MUST(n + rpc->wire_size <= OUT_BYTES);
  n += msub_rpc_encode(rpc, r->out + n);
  r->rpcs++;
  r->bytes += n;
  r->messages += rpc->n_msgs;
  return MSUB_OK;
}
static void disconnect(void *ud, msub_peer p, int reason) {
  (void)ud, (void)p;
  fprintf(stderr, "meshsub-bench: a peer of the bench was to be disconnected: %s\n", msub_reason_text(reason));
  exit(1);
}
static bool deliver(void *ud, msub_topic t, const msub_msg *m, msub_peer from) {
  (void)ud, (void)t, (void)m, (void)from;
  return true;
}
static int sign(void *ud, const msub_bytes *parts, size_t n, uint8_t *out, size_t cap) {
  (void)ud, (void)parts, (void)n, (void)cap;
  memset(out, 0, 64); /* nothing is published here */
  return 64;
}
static const msub_world_ops world = { .abi = MSUB_ABI, .size = sizeof world, .send = send, .disconnect = disconnect, .deliver = deliver, .sign = sign };

static size_t header_id(const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  size_t n = m->data_n < 16 ? m->data_n : 16;
  memcpy(out, msub_data(m).p, n);
  return n;
}
const msub_channel_policy rig_policy = { .abi = MSUB_ABI, .size = sizeof rig_policy, .name = "bench", .message_id = header_id, .sign = MSUB_SIGN_NEVER };

const char *rig_topic(size_t i) {
  static char name[32];
  snprintf(name, sizeof name, "topic %zu", i);
  return name;
}

void rig_init(rig *r) {
  memset(r, 0, sizeof *r);
  r->now = (msub_now){ 1000000000, INT64_C(1700000000000000000) };
  msub_gossipsub_opts_init(&r->gossip);
  msub_engine_opts_init(&r->opts);
  MUST((r->out = malloc(OUT_BYTES)) != NULL);
}

void rig_start(rig *r, size_t n_topics, bool signed_) {
  msub_mem mem = { count_alloc, count_free, r };
  uint8_t entropy[32] = { 1 };
  MUST(msub_shared_new(&mem, entropy, &r->sh) == MSUB_OK);
  MUST(msub_plan_new(r->sh, &msub_gossipsub, &r->gossip, &r->plan) == MSUB_OK);
  r->opts.world = &world;
  r->opts.w = r;
  r->opts.routers = &r->plan;
  r->opts.n_routers = 1;
  r->opts.seed = 1;
  r->opts.self_id = msub_str("the node that is measured");
  r->opts.sign = signed_ ? MSUB_STRICT_SIGN : MSUB_STRICT_NO_SIGN;
  r->opts.verify = msub_signature_verify;
  MUST(msub_engine_new(r->sh, &r->opts, &r->now, &r->e) == MSUB_OK);
  r->n_topics = n_topics;
  for (size_t i = 0; i < n_topics; i++)
    MUST(msub_join(r->e, 0, msub_str(rig_topic(i)), signed_ ? NULL : &rig_policy, NULL, &r->now, &r->topics[i]) == MSUB_OK);
}

void rig_free(rig *r) {
  MUST(msub_engine_free(r->e) == MSUB_OK && msub_shared_free(r->sh) == MSUB_OK);
  free(r->peers);
  free(r->out);
}

void rig_receive(rig *r, msub_session s, msub_bytes frame) {
  int rc;
  while ((rc = msub_receive(r->e, s, frame, &r->now)) == MSUB_MORE) {}
  MUST(rc == MSUB_OK);
}

void rig_control(rig *r, msub_session s, const msub_ctl_entry *e, size_t n, msub_bytes topic) {
  static uint8_t buf[1 << 20];
  msub_bytes names[128];
  MUST(n <= 128);
  for (size_t i = 0; i < n; i++) names[i] = topic;
  size_t len = msub_ctl_encode(e, names, n, buf, sizeof buf);
  MUST(len <= sizeof buf);
  rig_receive(r, s, (msub_bytes){ buf, len });
}

void rig_peers(rig *r, size_t n, size_t n_topics, bool graft) {
  MUST((r->peers = realloc(r->peers, (r->n_peers + n) * sizeof *r->peers)) != NULL);
  for (size_t k = 0; k < n; k++) {
    char id[32];
    snprintf(id, sizeof id, "peer number %zu", r->n_peers);
    msub_session_opts o = { .peer_id = msub_str(id), .protocol = "/meshsub/1.2.0", .agreed = true, .outbound = r->n_peers % 2 };
    msub_session s;
    MUST(msub_session_up(r->e, &o, &r->now, &s) == MSUB_OK);
    r->peers[r->n_peers++] = s;
    for (size_t t = 0; t < n_topics; t++) {
      msub_ctl_entry e[2] = { { .kind = MSUB_C_SUB }, { .kind = MSUB_C_GRAFT } };
      rig_control(r, s, e, graft ? 2 : 1, msub_str(rig_topic(t)));
    }
  }
}

void rig_pass(rig *r, uint64_t ns) {
  r->now.mono_ns += ns;
  r->now.wall_ns += (int64_t)ns;
  if (msub_next_deadline(r->e) <= r->now.mono_ns) MUST(msub_advance(r->e, &r->now) == MSUB_OK);
}

size_t rig_message(uint8_t *out, size_t cap, size_t topic, size_t data_n, uint8_t **counter) {
  uint8_t *data = calloc(1, data_n), *msg = malloc(data_n + 256);
  MUST(data && msg);
  for (size_t i = 0; i < data_n; i++) data[i] = (uint8_t)(i * 31 + 7);
  memset(data, 0, 16);
  data[8] = (uint8_t)topic;
  msub_msg_view v = { .data = { data, data_n }, .topic = msub_str(rig_topic(topic)), .present = MSUB_HAS_DATA | MSUB_HAS_TOPIC };
  size_t n = msub_msg_encode(&v, msg, data_n + 256), at = 0;
  MUST(n + 16 <= cap);
  out[at++] = 0x12;
  at += msub_varint_put(out + at, n);
  memcpy(out + at, msg, n);
  msub_msg_view w;
  MUST(msub_msg_parse((msub_bytes){ out + at, n }, &w) == MSUB_OK);
  *counter = out + (w.data.p - out);
  free(data);
  free(msg);
  return at + n;
}

double thread_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
