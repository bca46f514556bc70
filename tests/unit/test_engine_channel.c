/* Channel policies: whose hook is asked, what its answers lead to, on the wire as well. Against the in-memory world. */
#include "engine_world.h"
#include "meshsub/gossipsub.h"
#include <criterion/criterion.h>
#include <string.h>

static world w;
static uint8_t buf[1 << 16];

/* What the hooks were called with, and what they answer. */
static struct {
  unsigned put, get, ids, shift, emit, may, on_graft, on_join, admit, released, deliver, out, in;
  bool full, no_graft;
  msub_verdict verdict;
  msub_token token;        /* the last one of admit */
  msub_token later;        /* the last one of cache_get */
  msub_got got;
  const msub_msg *held;    /* the last message of cache_put */
  msub_bytes payload;      /* what cache_get answers with PAYLOAD */
  int released_why;
  uint64_t released_token;
  char data[256];          /* the last delivered payload */
  size_t data_n;
  void *ctx;
  msub_session joined;
} h;

static void c_put(const msub_channel *c, const msub_msg *m) {
  h.put++;
  h.ctx = c->ctx;
  if (h.held) msub_msg_drop(w.sh, h.held);
  h.held = msub_msg_hold(m);
}
static msub_got c_get(const msub_channel *c, msub_bytes id, msub_token later, msub_cached *out) {
  (void)c, (void)id;
  h.get++;
  h.later = later;
  out->msg = h.held;
  out->payload = h.payload;
  return h.got;
}
static size_t c_ids(const msub_channel *c, msub_bytes *ids, size_t max) {
  (void)c;
  h.ids++;
  if (!h.held || max == 0) return 0;
  ids[0] = msub_id(h.held);
  return 1;
}
static void c_shift(const msub_channel *c) {
  (void)c;
  h.shift++;
}
static void c_emit(const msub_channel *c, size_t want, msub_list *io) {
  (void)c, (void)want, (void)io;
  h.emit++; /* everybody */
}
static bool c_may(const msub_channel *c, msub_session s) {
  (void)c, (void)s;
  h.may++;
  return !h.no_graft;
}
static void c_on_graft(const msub_channel *c, msub_session s, bool ours) {
  (void)c, (void)s, (void)ours;
  h.on_graft++;
}
static void c_on_join(const msub_channel *c, msub_session s) {
  (void)c;
  h.on_join++;
  h.joined = s;
}
static msub_verdict c_admit(const msub_channel *c, const msub_msg *m, msub_session from, msub_token t) {
  (void)c, (void)m, (void)from;
  h.admit++;
  h.token = t;
  return h.verdict;
}
static void c_released(const msub_channel *c, msub_token t, int why) {
  (void)c;
  h.released++;
  h.released_why = why;
  h.released_token = t.v;
}
static bool c_deliver(const msub_channel *c, const msub_msg *m, msub_bytes payload, msub_peer from) {
  (void)c, (void)m, (void)from;
  h.deliver++;
  h.data_n = payload.n < sizeof h.data ? payload.n : sizeof h.data;
  memcpy(h.data, payload.p, h.data_n);
  return !h.full;
}
/* A transformation that doubles every byte on the way out. */
static size_t c_out(const msub_channel *c, msub_bytes data, uint8_t *to, size_t cap) {
  (void)c;
  h.out++;
  if (data.n && data.p[0] == '!') return SIZE_MAX;
  if (2 * data.n > cap) return 2 * data.n;
  for (size_t i = 0; i < data.n; i++) to[2 * i] = to[2 * i + 1] = data.p[i];
  return 2 * data.n;
}
static size_t c_in(const msub_channel *c, msub_bytes data, uint8_t *to, size_t cap) {
  (void)c;
  h.in++;
  if (data.n % 2) return SIZE_MAX;
  if (data.n / 2 > cap) return data.n / 2;
  for (size_t i = 0; i < data.n / 2; i++) to[i] = data.p[2 * i];
  return data.n / 2;
}

static msub_channel_policy base_policy(void) {
  return (msub_channel_policy){ .abi = MSUB_ABI, .size = sizeof(msub_channel_policy), .name = "test", .message_id = world_id_of_data };
}

static void begin(const msub_router_ops *router) {
  memset(&h, 0, sizeof h);
  world_init(&w, 1);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
  world_start(&w, router);
}
static void end(void) {
  if (h.held) msub_msg_drop(w.sh, h.held);
  h.held = NULL;
  world_stop(&w);
}
static msub_topic join(const msub_channel_policy *p) {
  msub_topic t;
  cr_assert_eq(msub_join(w.e, 0, msub_str("t"), p, &h, &w.now, &t), MSUB_OK);
  return t;
}
static int receive(msub_session s, const char *data) {
  return world_receive(&w, s, (msub_bytes){ buf, world_plain_rpc(buf, sizeof buf, "t", msub_str(data)) });
}
static const msub_counts *counts(void) { return msub_count(w.e); }
/* Sends an IWANT for one id. */
static void iwant(msub_session s, const char *id) {
  msub_bytes b = msub_str(id), none = { NULL, 0 };
  msub_ctl_entry e = { .kind = MSUB_C_IWANT, .n_ids = 1, .ids = &b };
  uint8_t rpc[512];
  cr_assert_eq(world_receive(&w, s, (msub_bytes){ rpc, msub_ctl_encode(&e, &none, 1, rpc, sizeof rpc) }), MSUB_OK);
}
/* How many of the RPCs sent to a peer hold a message with this data. */
static size_t sent_messages(msub_session s, const char *data) {
  size_t n = 0;
  for (size_t i = 0; i < w.n_sent; i++) {
    msub_rpc_iter it;
    msub_rpc_part part;
    if (w.sent[i].session.v != s.v) continue;
    msub_rpc_begin(&it, (msub_bytes){ w.sent[i].rpc, w.sent[i].n });
    while (msub_rpc_next(&it, &part) != MSUB_P_END)
      if (part.kind == MSUB_P_MESSAGE && msub_bytes_eq(part.msg.data, msub_str(data))) n++;
  }
  return n;
}
static void pass(uint64_t ns) { world_pass(&w, ns); }

Test(channel, admit) {
  msub_channel_policy p = base_policy();
  p.admit = c_admit;
  p.released = c_released;
  begin(NULL);
  msub_topic t = join(&p);
  msub_session a = world_peer(&w, 2), b = world_peer(&w, 3);
  world_subscribe(&w, b, "t", true);

  h.verdict = MSUB_ACCEPT;
  receive(a, "yes");
  cr_assert(w.n_delivered == 1 && sent_messages(b, "yes") == 1);
  h.verdict = MSUB_IGNORE;
  receive(a, "ignored");
  receive(a, "ignored");
  cr_assert(h.admit == 2 && w.n_delivered == 1 && counts()->ignored == 1 && counts()->duplicates == 1, "IGNORE is remembered");
  h.verdict = MSUB_REJECT;
  receive(a, "rejected");
  cr_assert(counts()->rejected == 1 && msub_count_reason(w.e, MSUB_R_REJECTED) == 1);
  h.verdict = MSUB_THROTTLED;
  receive(a, "later");
  receive(a, "later");
  cr_assert(h.admit == 5 && counts()->throttled == 2, "THROTTLED is judged again");

  /* DEFER: no deadline, copies are senders, the answer delivers and forwards to who did not send it. */
  h.verdict = MSUB_DEFER;
  receive(a, "deferred");
  receive(b, "deferred");
  cr_assert(h.admit == 6 && counts()->deferred == 1 && counts()->copies_pending == 1 && w.n_delivered == 1);
  pass(3600ull * 1000000000ull);
  cr_assert_eq(h.released, 0);
  cr_assert_eq(msub_complete(w.e, h.token, MSUB_ACCEPT, &w.now), MSUB_OK);
  cr_assert(w.n_delivered == 2 && sent_messages(b, "deferred") == 0, "b sent it itself");
  cr_assert_eq(msub_complete(w.e, h.token, MSUB_ACCEPT, &w.now), MSUB_ERR_STALE);

  /* PENDING: the validator's deadline, then IGNORE, and the token is told to be worthless. */
  h.verdict = MSUB_PENDING;
  receive(a, "slow");
  pass(11ull * 1000000000ull);
  cr_assert(h.released == 1 && h.released_why == MSUB_R_TIMEOUT && h.released_token == h.token.v && counts()->timeouts == 1);

  /* Own publishes pass as well; the outcome of a deferred one comes by result. */
  h.verdict = MSUB_REJECT;
  cr_assert_eq(msub_publish(w.e, t, msub_str("own bad"), &w.now, NULL), MSUB_ERR_REFUSED);
  h.verdict = MSUB_DEFER;
  msub_token ticket;
  cr_assert_eq(msub_publish(w.e, t, msub_str("own"), &w.now, &ticket), MSUB_OK);
  size_t results = w.n_results;
  cr_assert_eq(msub_complete(w.e, h.token, MSUB_ACCEPT, &w.now), MSUB_OK);
  cr_assert(w.n_results == results + 1 && w.results[results].ticket == ticket.v && w.results[results].recipients == 1);

  /* Leaving gives deferred ones up. */
  receive(a, "orphan");
  cr_assert_eq(msub_leave(w.e, t, &w.now), MSUB_OK);
  cr_assert(h.released == 2 && h.released_why == MSUB_R_LEFT && h.released_token == h.token.v);

  /* And so does the engine's end. */
  t = join(&p);
  receive(a, "at the end");
  h.released = 0;
  end();
  cr_assert(h.released == 1 && h.released_why == MSUB_R_GONE);
}

Test(channel, defer_quota) {
  msub_channel_policy p = base_policy();
  p.admit = c_admit;
  p.released = c_released;
  p.defer_bytes = 100;
  begin(NULL);
  join(&p);
  msub_session a = world_peer(&w, 2);
  h.verdict = MSUB_DEFER;
  receive(a, "0123456789012345678901234567890123456789");
  msub_token first = h.token;
  receive(a, "1123456789012345678901234567890123456789");
  cr_assert_eq(h.released, 0);
  receive(a, "2123456789012345678901234567890123456789");
  cr_assert(h.released == 1 && h.released_why == MSUB_R_THROTTLED && counts()->throttled == 1 && counts()->deferred == 2);
  cr_assert_eq(msub_complete(w.e, first, MSUB_IGNORE, &w.now), MSUB_OK);
  receive(a, "2123456789012345678901234567890123456789");
  cr_assert(counts()->deferred == 3, "the room is free again, and the refused one was not marked");
  end();
}

Test(channel, full_rules) {
  msub_channel_policy p = base_policy();
  p.deliver = c_deliver;
  /* REFUSE: not marked, judged afresh. */
  p.full = MSUB_FULL_REFUSE;
  begin(NULL);
  join(&p);
  msub_session a = world_peer(&w, 2), b = world_peer(&w, 3);
  world_subscribe(&w, b, "t", true);
  h.full = true;
  receive(a, "x");
  cr_assert(counts()->throttled == 1 && counts()->delivery_full == 1 && sent_messages(b, "x") == 0);
  h.full = false;
  receive(a, "x");
  cr_assert(h.deliver == 2 && sent_messages(b, "x") == 1);
  end();
  /* DROP: forwarded all the same. */
  p.full = MSUB_FULL_DROP;
  begin(NULL);
  join(&p);
  a = world_peer(&w, 2), b = world_peer(&w, 3);
  world_subscribe(&w, b, "t", true);
  h.full = true;
  receive(a, "x");
  cr_assert(counts()->accepted == 1 && sent_messages(b, "x") == 1);
  cr_assert_eq(msub_redeliver(w.e, msub_topic_named(w.e, 0, msub_str("t")), &w.now), MSUB_OK);
  cr_assert_eq(h.deliver, 1, "it is gone");
  end();
  /* LATEST: the newest is kept and offered again. */
  p.full = MSUB_FULL_LATEST;
  begin(NULL);
  msub_topic t = join(&p);
  a = world_peer(&w, 2);
  h.full = true;
  receive(a, "old");
  receive(a, "new");
  cr_assert_eq(msub_redeliver(w.e, t, &w.now), MSUB_OK);
  cr_assert(h.deliver == 3 && h.data_n == 3 && memcmp(h.data, "new", 3) == 0, "still full: it stays");
  h.full = false;
  cr_assert_eq(msub_redeliver(w.e, t, &w.now), MSUB_OK);
  cr_assert_eq(msub_redeliver(w.e, t, &w.now), MSUB_OK);
  cr_assert(h.deliver == 4 && memcmp(h.data, "new", 3) == 0);
  h.full = true;
  receive(a, "kept"); /* freed with the topic */
  end();
}

Test(channel, payload) {
  msub_channel_policy p = base_policy();
  p.payload_out = c_out;
  p.payload_in = c_in;
  p.deliver = c_deliver;
  p.max_data = 64;
  begin(NULL);
  msub_topic t = join(&p);
  msub_session a = world_peer(&w, 2);
  world_subscribe(&w, a, "t", true);
  cr_assert_eq(msub_publish(w.e, t, msub_str("abc"), &w.now, NULL), MSUB_OK);
  cr_assert(h.data_n == 3 && memcmp(h.data, "abc", 3) == 0 && sent_messages(a, "aabbcc") == 1, "travels doubled, arrives as it was");
  cr_assert_eq(msub_publish(w.e, t, msub_str("!"), &w.now, NULL), MSUB_ERR_REFUSED);
  memset(buf + 40000, 'x', 33);
  cr_assert_eq(msub_publish(w.e, t, (msub_bytes){ buf + 40000, 33 }, &w.now, NULL), MSUB_ERR_LIMIT, "66 bytes on the way");
  receive(a, "xxyy");
  cr_assert(h.data_n == 2 && memcmp(h.data, "xy", 2) == 0);
  receive(a, "odd");
  cr_assert(counts()->rejected == 1 && h.deliver == 2, "a payload that cannot be unpacked is rejected");
  char big[70];
  memset(big, 'y', 66);
  big[66] = 0;
  receive(a, big);
  cr_assert(msub_count_reason(w.e, MSUB_R_TOO_LARGE) == 1 && counts()->ignored == 1, "larger than the topic takes");
  end();
}

Test(channel, signing_by_topic) {
  msub_channel_policy yes = base_policy(), no = base_policy();
  yes.sign = MSUB_SIGN_ALWAYS;
  no.sign = MSUB_SIGN_NEVER;
  begin(NULL);
  msub_topic signed_, bare;
  cr_assert_eq(msub_join(w.e, 0, msub_str("s"), &yes, NULL, &w.now, &signed_), MSUB_OK);
  cr_assert_eq(msub_join(w.e, 0, msub_str("t"), &no, NULL, &w.now, &bare), MSUB_OK);
  msub_session a = world_peer(&w, 2);
  receive(a, "anonymous");
  cr_assert_eq(w.n_delivered, 1);
  cr_assert_eq(world_receive(&w, a, (msub_bytes){ buf, world_plain_rpc(buf, sizeof buf, "s", msub_str("anonymous too")) }), MSUB_OK);
  cr_assert_eq(counts()->rejected, 1);
  world_receive(&w, a, (msub_bytes){ buf, world_signed_rpc(buf, sizeof buf, 5, 1, "s", msub_str("by 5")) });
  world_run_jobs(&w);
  cr_assert_eq(w.n_delivered, 2);
  cr_assert_eq(msub_publish(w.e, signed_, msub_str("mine"), &w.now, NULL), MSUB_OK);
  cr_assert(w.n_delivered == 3 && msub_from(w.delivered[2]).n > 0);
  cr_assert_eq(msub_publish(w.e, bare, msub_str("mine"), &w.now, NULL), MSUB_OK);
  cr_assert(w.n_delivered == 4 && msub_from(w.delivered[3]).n == 0);
  msub_channel_policy none = { .abi = MSUB_ABI, .size = sizeof none, .name = "no id", .sign = MSUB_SIGN_NEVER };
  msub_topic t;
  cr_assert_eq(msub_join(w.e, 0, msub_str("u"), &none, NULL, &w.now, &t), MSUB_ERR_INVAL);
  end();
}

Test(channel, opened_topics) {
  msub_channel_policy p = base_policy();
  begin(NULL);
  msub_session a = world_peer(&w, 2);
  world_subscribe(&w, a, "t", true);
  world_clear(&w);
  msub_topic t;
  cr_assert_eq(msub_open(w.e, 0, msub_str("t"), &p, NULL, &w.now, &t), MSUB_OK);
  cr_assert_eq(w.n_sent, 0, "nobody is told");
  cr_assert_eq(msub_publish(w.e, t, msub_str("x"), &w.now, NULL), MSUB_OK);
  cr_assert(w.n_delivered == 0 && sent_messages(a, "x") == 1);
  receive(a, "y");
  cr_assert(counts()->unwanted == 1 && w.n_delivered == 0);
  cr_assert_eq(msub_close(w.e, t, &w.now), MSUB_OK);
  cr_assert_eq(msub_close(w.e, t, &w.now), MSUB_ERR_STALE);
  cr_assert_eq(msub_publish(w.e, t, msub_str("x2"), &w.now, NULL), MSUB_ERR_STALE);
  end();
}

Test(channel, own_cache) {
  msub_channel_policy p = base_policy();
  p.cache_put = c_put;
  p.cache_get = c_get;
  p.gossip_ids = c_ids;
  p.shift = c_shift;
  p.emit = c_emit;
  p.emit_mesh_too = true;
  p.may_graft = c_may;
  p.on_graft = c_on_graft;
  p.on_peer_join = c_on_join;
  p.released = c_released;
  begin(&msub_gossipsub);
  msub_topic t = join(&p);
  msub_session a = world_peer(&w, 2), b = world_peer(&w, 3);
  cr_assert_eq(msub_session_agreed(w.e, a, &w.now), MSUB_OK);
  cr_assert_eq(msub_session_agreed(w.e, b, &w.now), MSUB_OK); /* only then may they be grafted */
  world_subscribe(&w, a, "t", true);
  cr_assert(h.on_join == 1 && h.joined.v == a.v);
  world_subscribe(&w, b, "t", true);
  h.no_graft = true;
  pass(3000000000ull);
  cr_assert(h.may > 0 && h.on_graft == 0 && h.shift >= 2);
  h.no_graft = false;
  pass(2000000000ull);
  cr_assert_eq(h.on_graft, 2);
  receive(a, "m1");
  cr_assert(h.put == 1 && h.ctx == &h && counts()->cached == 0, "not in the engine's window");
  unsigned asked = h.ids;
  h.got = MSUB_GOT_MSG;
  iwant(b, "m1");
  cr_assert(h.get == 0 && counts()->asks_unadvertised == 1, "nobody was told of it yet");
  pass(1100000000ull);
  cr_assert_gt(h.ids, asked);

  world_clear(&w);
  iwant(b, "m1");
  cr_assert(h.get == 1 && sent_messages(b, "m1") == 1 && counts()->served == 1);
  h.got = MSUB_GOT_NONE;
  iwant(b, "m1");
  iwant(b, "unknown");
  cr_assert(h.get == 2 && sent_messages(b, "m1") == 1, "an id that was never put or offered is nobody's");
  msub_bytes offered = msub_str("elsewhere");
  cr_assert_eq(msub_offer(w.e, b, t, &offered, 1, &w.now), MSUB_OK);
  h.got = MSUB_GOT_PAYLOAD;
  h.payload = msub_str("elsewhere");
  iwant(b, "elsewhere");
  cr_assert_eq(sent_messages(b, "elsewhere"), 1);
  h.payload = msub_str("something else");
  iwant(b, "elsewhere");
  cr_assert(sent_messages(b, "something else") == 0 && counts()->faults == 1 && counts()->unservable == 1);

  /* LATER, supplied; supplied twice; never supplied; the peer is gone. */
  h.got = MSUB_GOT_LATER;
  iwant(b, "elsewhere");
  msub_token later = h.later;
  msub_cached c = { NULL, msub_str("elsewhere") };
  world_clear(&w);
  cr_assert_eq(msub_supply(w.e, later, &c, &w.now), MSUB_OK);
  cr_assert_eq(sent_messages(b, "elsewhere"), 1);
  cr_assert_eq(msub_supply(w.e, later, &c, &w.now), MSUB_ERR_STALE);
  iwant(b, "elsewhere");
  cr_assert_eq(msub_supply(w.e, h.later, NULL, &w.now), MSUB_OK);
  iwant(b, "elsewhere");
  pass(11000000000ull);
  cr_assert(h.released == 1 && h.released_why == MSUB_R_TIMEOUT && h.released_token == h.later.v);
  iwant(b, "elsewhere");
  cr_assert_eq(msub_session_down(w.e, b, &w.now), MSUB_OK);
  cr_assert_eq(msub_supply(w.e, h.later, &c, &w.now), MSUB_ERR_STALE);
  end();
}

Test(channel, open_ids) {
  msub_channel_policy p = base_policy();
  p.cache_get = c_get;
  p.open_ids = true;
  begin(&msub_gossipsub);
  msub_topic t = join(&p);
  msub_session a = world_peer(&w, 2);
  h.got = MSUB_GOT_PAYLOAD;
  h.payload = msub_str("anything");
  iwant(a, "anything");
  cr_assert(h.get == 1 && sent_messages(a, "anything") == 1);
  msub_leave(w.e, t, &w.now);
  iwant(a, "anything");
  cr_assert_eq(h.get, 1, "a topic that was left is not asked");
  end();
  /* the ids of such a topic are known from elsewhere, out of whichever cache it is answered */
  for (unsigned open = 0; open < 2; open++)
    for (unsigned own = 0; own < 2; own++) {
      p = base_policy();
      p.open_ids = open;
      if (own) {
        p.cache_put = c_put;
        p.cache_get = c_get;
      }
      begin(&msub_gossipsub);
      join(&p);
      a = world_peer(&w, 2);
      msub_session b = world_peer(&w, 3);
      receive(a, "m1");
      h.got = MSUB_GOT_MSG;
      iwant(b, "m1");
      cr_assert(sent_messages(b, "m1") == open && counts()->asks_unadvertised == !open, "open %u, own cache %u", open, own);
      end();
    }
}

static size_t too_long(const msub_msg *m, uint8_t out[MSUB_MAX_ID]) {
  (void)m, (void)out;
  return MSUB_MAX_ID + 1;
}
static size_t too_many(const msub_channel *c, msub_bytes *ids, size_t max) {
  (void)c, (void)ids;
  return max + 1;
}
static void stranger(const msub_channel *c, size_t want, msub_list *io) {
  (void)c, (void)want;
  io->n = 0;
  msub_list_add(io, (msub_session){ 0x12345 });
}
static void too_far(const msub_channel *c, size_t want, msub_list *io) {
  (void)c, (void)want;
  io->n = io->cap + 1;
}
static msub_verdict no_verdict(const msub_channel *c, const msub_msg *m, msub_session from, msub_token t) {
  (void)c, (void)m, (void)from, (void)t;
  return (msub_verdict)99;
}
static char last_log[512];
static void note_log(void *ud, msub_log_level level, const char *module, const char *text) {
  (void)ud, (void)level, (void)module;
  strncpy(last_log, text, sizeof last_log - 1);
}

/* Nonsense is a fault with the policy's name, and means nothing. */
Test(channel, nonsense) {
  static const struct { const char *what; msub_channel_policy p; } cases[] = {
    { "128 bytes", { .message_id = too_long } },
    { "verdict", { .message_id = world_id_of_data, .admit = no_verdict } },
    { "more ids", { .message_id = world_id_of_data, .gossip_ids = too_many } },
    { "does not exist", { .message_id = world_id_of_data, .emit = stranger } },
    { "more targets", { .message_id = world_id_of_data, .emit = too_far } },
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    msub_channel_policy p = cases[i].p;
    p.abi = MSUB_ABI;
    p.size = sizeof p;
    p.name = "nonsense";
    memset(&h, 0, sizeof h);
    world_init(&w, 1);
    w.opts.sign = MSUB_STRICT_NO_SIGN;
    msub_log log = { .fn = note_log, .level = MSUB_LOG_WARN };
    w.opts.log = &log;
    last_log[0] = 0;
    world_start(&w, &msub_gossipsub);
    join(&p);
    for (uint8_t s = 2; s < 30; s++) world_subscribe(&w, world_peer(&w, s), "t", true);
    receive(world_peer(&w, 40), "x");
    pass(2000000000ull);
    cr_assert(counts()->faults > 0 && w.events[MSUB_T_FAULT] == counts()->faults, "%s", cases[i].what);
    cr_assert(strstr(last_log, "nonsense: ") && strstr(last_log, cases[i].what), "%s: %s", cases[i].what, last_log);
    end();
  }
}
