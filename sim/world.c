/* sim/world.c: what engines call. Nothing here calls an engine back: what has to happen there becomes an event. */
#include "sim/sim.h"
#include <string.h>

/* ---- sending ---- */

/* A topic announced or given up, or extensions. A peer that misses it never learns of it, so no world may lose it. */
static bool announces(const msub_ctl *c) {
  return c && c->n && (c->e[0].kind == MSUB_C_SUB || c->e[0].kind == MSUB_C_UNSUB || c->e[0].kind == MSUB_C_EXTENSIONS);
}

static bool hold(msub_sim *s, msub__sim_packet *p, const msub_rpc *rpc) {
  if (rpc->n_msgs > UINT32_MAX || rpc->wire_size > UINT32_MAX) return false;
  p->n = (uint32_t)rpc->n_msgs;
  p->wire = (uint32_t)rpc->wire_size;
  if (p->n > 1) {
    p->u.many = msub__zalloc(&s->mem, p->n, sizeof *p->u.many);
    if (!p->u.many) return false;
    for (uint32_t i = 0; i < p->n; i++) p->u.many[i] = msub_msg_hold(rpc->msgs[i]);
  } else if (p->n == 1) {
    p->u.one = msub_msg_hold(rpc->msgs[0]);
  }
  p->ctl = rpc->ctl ? msub_ctl_hold(rpc->ctl) : NULL;
  p->flags = (uint8_t)(MSUB__SIM_PARTS | (announces(rpc->ctl) ? MSUB__SIM_KEEP : 0));
  return true;
}

static int send(void *w, uint64_t link, msub_session to, const msub_rpc *rpc, msub_lane lane) {
  msub__sim_node *n = w;
  msub_sim *s = n->sim;
  (void)to;
  msub__sim_packet *p = msub__sim_packet_new(s);
  if (!p) return MSUB_ERR_LIMIT;
  p->lane = (uint8_t)lane;
  int err = hold(s, p, rpc) ? msub__sim_send(n, (uint32_t)(link >> 8), link & 0xff, p) : MSUB_ERR_LIMIT;
  if (err != MSUB_OK) msub__sim_packet_free(s, p);
  return err;
}

static bool room(void *w, uint64_t link, msub_lane lane, size_t bytes) {
  return msub__sim_room(w, (uint32_t)(link >> 8), link & 0xff, lane, bytes);
}

static unsigned withdraw(void *w, uint64_t link, msub_bytes id) {
  return msub__sim_withdraw(w, (uint32_t)(link >> 8), link & 0xff, id);
}

/* ---- peers ---- */

static void disconnect(void *w, msub_peer p, int reason) {
  msub__sim_node *n = w;
  uint32_t peer = msub_sim_node_of(n->sim, p);
  (void)reason;
  if (peer != MSUB_SIM_NOBODY) msub__sim_self(n, n->sim->now.mono_ns, MSUB__SIM_DISCONNECT, peer);
}

static void topic_peer(void *w, msub_topic t, msub_peer p, bool joined) {
  msub__sim_node *n = w;
  if (!n->c->o.on_topic_peer) return;
  msub__sim_in(n);
  n->c->o.on_topic_peer(n->c->o.ud, n->sim, n->no, t, msub_sim_node_of(n->sim, p), joined);
  msub__sim_out(n);
}

static void connect_hint(void *w, msub_bytes peer_id, msub_bytes record) {
  msub__sim_node *n = w;
  msub_sim *s = n->sim;
  uint8_t good[MSUB__SIM_RECORD_MAX];
  s->counts.hints++;
  if (!n->c->o.dial_hints) return;
  if (record.n && !msub_bytes_eq(record, (msub_bytes){ good, msub__sim_record(s, peer_id, good) })) {
    s->counts.hints_bad++;
    return;
  }
  uint32_t peer = msub_sim_find(s, peer_id);
  if (peer == MSUB_SIM_NOBODY) s->counts.hints_bad++;
  else msub__sim_hint(n, peer);
}

/* Of peers that are connected, as identify would have brought it. */
static size_t peer_record(void *w, msub_peer p, uint8_t *out, size_t cap) {
  const msub__sim_node *n = w;
  uint8_t record[MSUB__SIM_RECORD_MAX], made[64];
  uint32_t peer = msub_sim_node_of(n->sim, p);
  if (peer == MSUB_SIM_NOBODY || !msub__sim_half_to(n, peer, true)) return 0;
  size_t len = msub__sim_record(n->sim, msub__sim_id(msub__sim_node_at(n->sim, peer), made), record);
  if (len > cap) return 0;
  memcpy(out, record, len);
  return len;
}

static void protect(void *w, msub_peer p, msub_topic t, bool on) {
  msub__sim_node *n = w;
  if (!n->c->o.on_protect) return;
  msub__sim_in(n);
  n->c->o.on_protect(n->c->o.ud, n->sim, n->no, msub_sim_node_of(n->sim, p), t, on);
  msub__sim_out(n);
}

static void want_peers(void *w, msub_topic t, unsigned count) {
  msub__sim_node *n = w;
  n->sim->counts.wanted++;
  msub__sim_want_peers(n, t, count);
}

/* ---- messages ---- */

static bool deliver(void *w, msub_topic t, const msub_msg *m, msub_peer from) {
  msub__sim_node *n = w;
  if (!n->c->o.on_message) return true;
  msub__sim_in(n);
  bool taken = n->c->o.on_message(n->c->o.ud, n->sim, n->no, t, m, msub_sim_node_of(n->sim, from));
  msub__sim_out(n);
  return taken;
}

static void published(void *w, const msub_published *p) {
  msub__sim_node *n = w;
  msub__sim_in(n);
  n->c->o.on_published(n->c->o.ud, n->sim, n->no, p);
  msub__sim_out(n);
}

static void result(void *w, msub_token ticket, int err, uint32_t recipients) {
  msub__sim_node *n = w;
  if (!n->c->o.on_result) return;
  msub__sim_in(n);
  n->c->o.on_result(n->c->o.ud, n->sim, n->no, ticket, err, recipients);
  msub__sim_out(n);
}

static int sign(void *w, const msub_bytes *parts, size_t n_parts, uint8_t *out, size_t cap) {
  msub__sim_node *n = w;
  if (n->c->o.sign) {
    msub__sim_in(n);
    int len = n->c->o.sign(n->c->o.ud, n->sim, n->no, parts, n_parts, out, cap);
    msub__sim_out(n);
    return len;
  }
  if (cap < 64) return MSUB_ERR_LIMIT;
  msub_sim_checksum(parts, n_parts, out);
  return 64;
}

static void trace(void *w, const msub_event *ev) { msub__sim_trace(w, ev); }

/* ---- the processor: one server, jobs in their order, the first one is running; with it those behind it that have the same function for
 * many, which then cost what they cost one by one ---- */

static void start_job(msub__sim_node *n) {
  const msub__sim_task *first = msub__ring_front(&n->cpu->jobs);
  uint64_t ns = 0;
  n->cpu->running = 0;
  do {
    const msub__sim_task *t = msub__ring_at(&n->cpu->jobs, n->cpu->running);
    if (n->cpu->running && (!t->job.many || t->job.many != first->job.many)) break;
    ns += (uint64_t)t->job.cost_hint_ns * n->c->o.cpu_ppm / 1000000;
  } while (++n->cpu->running < n->cpu->jobs.n && n->cpu->running < MSUB__SIM_MANY);
  msub__sim_self(n, msub__deadline(n->sim->now.mono_ns, ns), MSUB__SIM_JOB, n->lives);
}

static int offload(void *w, const msub_job *j, msub_token t) {
  msub__sim_node *n = w;
  msub_sim *s = n->sim;
  if (!n->cpu) {
    n->cpu = msub__zalloc(&s->mem, 1, sizeof *n->cpu);
    if (n->cpu) msub__ring_init(&n->cpu->jobs, sizeof(msub__sim_task));
  }
  msub__sim_task *at = n->cpu && n->cpu->jobs.n <= n->c->o.cpu_queue ? msub__ring_push(&n->cpu->jobs, &s->mem) : NULL;
  if (!at) {
    s->counts.jobs_refused++;
    return MSUB_ERR_LIMIT;
  }
  *at = (msub__sim_task){ *j, t };
  s->counts.jobs++;
  if (n->cpu->jobs.n == 1) start_job(n);
  return MSUB_OK;
}

static bool recall(void *w, msub_token t) {
  msub__sim_node *n = w;
  if (!n->cpu) return false;
  uint32_t count = n->cpu->jobs.n;
  for (uint32_t i = n->cpu->running; i < count; i++) {
    if (((msub__sim_task *)msub__ring_at(&n->cpu->jobs, i))->token.v != t.v) continue;
    for (; i + 1 < count; i++)
      *(msub__sim_task *)msub__ring_at(&n->cpu->jobs, i) = *(msub__sim_task *)msub__ring_at(&n->cpu->jobs, i + 1);
    n->cpu->jobs.n--;
    return true;
  }
  return false;
}

void msub__sim_job(msub__sim_node *n, uint64_t lives) {
  if (!n->cpu || n->lives != (uint32_t)lives || n->cpu->jobs.n == 0) return;
  msub_token tokens[MSUB__SIM_MANY];
  msub_bytes args[MSUB__SIM_MANY];
  msub_verdict verdicts[MSUB__SIM_MANY];
  msub_job job = ((msub__sim_task *)msub__ring_front(&n->cpu->jobs))->job;
  uint32_t count = n->cpu->running;
  for (uint32_t i = 0; i < count; i++) {
    const msub__sim_task *t = msub__ring_front(&n->cpu->jobs);
    tokens[i] = t->token;
    args[i] = (msub_bytes){ t->job.arg, t->job.n };
    msub__ring_pop(&n->cpu->jobs);
  }
  if (count > 1) job.many(args, count, verdicts);
  else verdicts[0] = job.fn(job.arg, job.n);
  if (n->cpu->jobs.n) start_job(n);
  for (uint32_t i = 0; i < count; i++) (void)msub_complete(n->e, tokens[i], verdicts[i], &n->sim->now);
  msub__sim_touch(n);
}

void msub__sim_cpu_stop(msub__sim_node *n) {
  if (!n->cpu) return;
  msub__ring_fini(&n->cpu->jobs, &n->sim->mem);
  msub__free(&n->sim->mem, n->cpu, sizeof *n->cpu);
  n->cpu = NULL;
}

/* ---- the table ---- */

void msub__sim_world(const msub__sim_class *c, const msub_sim *s, msub_world_ops *out) {
  bool traced = s->o.hash || s->o.on_trace || c->o.rendezvous || c->o.discovery;
  *out = (msub_world_ops){ .abi = MSUB_ABI,
                           .size = sizeof *out,
                           .send = send,
                           .room = room,
                           .withdraw = withdraw,
                           .disconnect = disconnect,
                           .deliver = deliver,
                           .offload = c->o.cpu_ppm ? offload : NULL,
                           .recall = c->o.cpu_ppm ? recall : NULL,
                           .result = c->o.on_result ? result : NULL,
                           .topic_peer = c->o.on_topic_peer ? topic_peer : NULL,
                           .connect_hint = connect_hint,
                           .peer_record = peer_record,
                           .protect = c->o.on_protect ? protect : NULL,
                           .want_peers = c->o.rendezvous || c->o.discovery ? want_peers : NULL,
                           .trace = traced ? trace : NULL,
                           .sign = sign,
                           .published = c->o.on_published ? published : NULL };
}
