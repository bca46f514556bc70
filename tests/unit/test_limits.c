/* Every limit of pubsub/limits.h one below it, at it and one above it, by what a peer, a router or the program does (G-04). Over a wire
 * limit the RPC is refused and the peer blamed; over a work limit the rest is left and nobody is. scripts/check-limits compares
 * the two lists. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include "engine_world.h"
#include "pubsub/engine.h"

static world w;
static uint8_t buf[MSUB__RPC_BYTES_MAX + 64];
static const msub_counts *n(void) { return msub_count(w.e); }
static msub_usage used(void) {
  msub_usage u;
  msub_usage_of(w.e, &u);
  return u;
}
static void anonymous(void) {
  world_init(&w, 9);
  w.opts.sign = MSUB_STRICT_NO_SIGN;
}
static bool take_all(void *ud, msub_topic t, const msub_msg *m, msub_peer from) {
  (void)ud, (void)t, (void)m, (void)from;
  return true;
}

/* A field of `size` bytes in all, five of them its tag and a length of four bytes. */
#define HEAD 5u
static uint8_t *field(uint8_t *p, uint8_t tag, size_t size) {
  size_t len = size - HEAD;
  *p++ = tag;
  for (int i = 0; i < 4; i++, len >>= 7) *p++ = (uint8_t)((len & 0x7f) | (i < 3 ? 0x80 : 0));
  return p;
}
/* An RPC of exactly `size` bytes that no other limit counts: a partial message. */
static msub_bytes rpc_of(size_t size) {
  memset(buf, 0, size);
  field(field(buf, 0x52, size), 0x1a, size - HEAD);
  return (msub_bytes){ buf, size };
}
/* A message of "t", `size` bytes encoded; the data begins with `number`. Returns the bytes of the publish entry. */
static size_t entry_of(uint8_t *out, size_t size, uint32_t number) {
  uint8_t *p = field(out, 0x12, HEAD + size), *data = field(p, 0x12, size - 3);
  memset(data, 0, size - 3 - HEAD);
  memcpy(data, &number, sizeof number);
  memcpy(p + size - 3, "\x22\x01t", 3);
  return HEAD + size;
}
static msub_bytes message(uint32_t number) {
  return (msub_bytes){ buf, world_plain_rpc(buf, sizeof buf, "t", (msub_bytes){ (const uint8_t *)&number, sizeof number }) };
}

/* What is over a wire limit by one is refused as a whole, and blamed. */
static void refused_only_above(int d, int rc, uint64_t before) {
  cr_assert_eq(rc, d > 0 ? MSUB_ERR_LIMIT : MSUB_OK, "%+d", d);
  cr_assert_eq(n()->rpcs_over_limit - before, d > 0);
  cr_assert_eq(msub_count_reason(w.e, MSUB_R_RPC_OVER_LIMIT) - before, d > 0);
  cr_assert_eq(n()->rpcs_malformed, 0);
}
static void nobody_blamed(void) { cr_assert(n()->faults == 0 && n()->disconnects == 0 && n()->rpcs_over_limit == 0); }

/* ---- wire ---- */

Test(limits, rpc_bytes) {
  world_init(&w, 9);
  world_start(&w, NULL);
  msub_session s = world_peer(&w, 1);
  for (int d = -1; d <= 1; d++) {
    uint64_t before = n()->rpcs_over_limit;
    refused_only_above(d, world_receive(&w, s, rpc_of(MSUB__RPC_BYTES + (size_t)d)), before);
  }
  cr_assert_eq(n()->rpcs_in, 2);
  world_stop(&w);
  for (int d = -1; d <= 1; d++) {
    world_init(&w, 9);
    w.opts.max_rpc = MSUB__RPC_BYTES_MAX + (size_t)d;
    msub_mem mem = world_mem(&w);
    cr_assert_eq(world_try_start(&w, NULL, &mem), d > 0 ? MSUB_ERR_INVAL : MSUB_OK);
    if (d == 0) {
      s = world_peer(&w, 1);
      for (int k = -1; k <= 1; k++) {
        uint64_t before = n()->rpcs_over_limit;
        refused_only_above(k, world_receive(&w, s, rpc_of(MSUB__RPC_BYTES_MAX + (size_t)k)), before);
      }
    }
    world_stop(&w);
  }
}

Test(limits, message_bytes) {
  anonymous();
  w.opts.max_rpc = 2 * MSUB__RPC_BYTES;
  world_start(&w, NULL);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  msub_session s = world_peer(&w, 1);
  for (int d = -1; d <= 1; d++) {
    uint64_t before = n()->rpcs_over_limit;
    size_t size = entry_of(buf, MSUB__MESSAGE_BYTES + (size_t)d, (uint32_t)(d + 7));
    refused_only_above(d, world_receive(&w, s, (msub_bytes){ buf, size }), before);
  }
  cr_assert_eq(w.n_delivered, 2);
  /* the program's own: the data, with the topic and what surrounds them */
  static uint8_t data[MSUB__MESSAGE_BYTES];
  size_t around = 1 + 4 - 1 + 1 + 1 + 1; /* tag and three bytes of length; tag, length and topic */
  for (int d = -1; d <= 1; d++) {
    data[0] = (uint8_t)(d + 100);
    msub_bytes b = { data, MSUB__MESSAGE_BYTES - around + (size_t)d };
    cr_assert_eq(msub_publish(w.e, t, b, &w.now, NULL), d > 0 ? MSUB_ERR_LIMIT : MSUB_OK, "%+d", d);
  }
  world_stop(&w);
}

Test(limits, control_bytes) {
  anonymous();
  world_start(&w, NULL);
  world_join(&w, "t", &world_data_ids);
  msub_session s = world_peer(&w, 1);
  for (int d = -1; d <= 1; d++) {
    uint64_t before = n()->rpcs_over_limit;
    size_t size = MSUB__CONTROL_BYTES + (size_t)d;
    memset(buf, 0, size);
    field(buf, 0x7a, size); /* a field that nobody knows */
    refused_only_above(d, world_receive(&w, s, (msub_bytes){ buf, size }), before);
  }
  /* data of messages is not counted, what surrounds it is: tag, length, and the topic's three bytes */
  for (int d = -1; d <= 1; d++) {
    uint64_t before = n()->rpcs_over_limit;
    size_t at = entry_of(buf, 300000, (uint32_t)(d + 3)), rest = MSUB__CONTROL_BYTES - HEAD - 1 - 3 + (size_t)d;
    memset(buf + at, 0, rest);
    field(buf + at, 0x7a, rest);
    refused_only_above(d, world_receive(&w, s, (msub_bytes){ buf, at + rest }), before);
  }
  cr_assert_eq(w.n_delivered, 2);
  world_stop(&w);
}

Test(limits, publish_entries) {
  anonymous();
  world_start(&w, NULL);
  msub_session s = world_peer(&w, 1);
  for (int d = -1; d <= 1; d++) {
    uint64_t before = n()->rpcs_over_limit, in = n()->messages_in;
    size_t k = (size_t)(MSUB__PUBLISH_ENTRIES + d);
    for (size_t i = 0; i < k; i++) memcpy(buf + 2 * i, "\x12", 2); /* empty ones */
    refused_only_above(d, world_receive(&w, s, (msub_bytes){ buf, 2 * k }), before);
    cr_assert_eq(n()->messages_in - in, d > 0 ? 0 : k, "all of it, or nothing");
  }
  world_stop(&w);
}

/* ---- work: what a peer sends ---- */

Test(limits, publish_turn) {
  anonymous();
  world_start(&w, NULL);
  msub_session s = world_peer(&w, 1);
  for (int d = -1; d <= 1; d++) {
    uint64_t in = n()->messages_in;
    size_t k = (size_t)(MSUB__PUBLISH_TURN + d);
    for (size_t i = 0; i < k; i++) memcpy(buf + 2 * i, "\x12", 2);
    cr_assert_eq(msub_receive(w.e, s, (msub_bytes){ buf, 2 * k }, &w.now), d > 0 ? MSUB_MORE : MSUB_OK);
    cr_assert_eq(n()->messages_in - in, d > 0 ? MSUB__PUBLISH_TURN : k);
    if (d > 0) cr_assert_eq(msub_receive(w.e, s, (msub_bytes){ buf, 2 * k }, &w.now), MSUB_OK);
    cr_assert_eq(n()->messages_in - in, k);
  }
  nobody_blamed();
  world_stop(&w);
}

static size_t put_sub(uint8_t *p, const char *name, size_t size, bool on) {
  size_t at = 0, len = 2 + 1 + (size_t)msub_varint_size(size) + size;
  p[at++] = 0x0a;
  at += (size_t)msub_varint_put(p + at, len);
  p[at++] = 0x08;
  p[at++] = on;
  p[at++] = 0x12;
  at += (size_t)msub_varint_put(p + at, size);
  memcpy(p + at, name, size);
  return at + size;
}
/* `count` topics of `size` bytes each, numbered from `first` on. */
static int subscribe(msub_session s, uint32_t first, size_t count, size_t size) {
  char name[400];
  size_t at = 0;
  memset(name, '.', sizeof name);
  for (size_t i = 0; i < count; i++) {
    char number[16];
    snprintf(number, sizeof number, "%07u", (unsigned)(first + i));
    memcpy(name, number, size < 7 ? size : 7);
    at += put_sub(buf + at, name, size, true);
  }
  return world_receive(&w, s, (msub_bytes){ buf, at });
}

Test(limits, G_35_subscriptions_of_an_rpc) {
  world_init(&w, 9);
  world_start(&w, NULL);
  msub_topic last = world_join(&w, "last", NULL);
  for (int d = -1; d <= 1; d++) {
    msub_session s = world_peer(&w, 1);
    size_t at = 0, k = (size_t)(MSUB__SUBSCRIPTIONS_RPC + d);
    uint64_t in = n()->subscriptions_in;
    for (size_t i = 1; i < k; i++) at += put_sub(buf + at, "x", 1, true);
    at += put_sub(buf + at, "last", 4, true);
    cr_assert_eq(world_receive(&w, s, (msub_bytes){ buf, at }), MSUB_OK);
    cr_assert_eq(msub_topic_peers(w.e, last), d > 0 ? 0 : 1, "%+d", d);
    cr_assert_eq(n()->subscriptions_in - in, d > 0 ? MSUB__SUBSCRIPTIONS_RPC : k);
    msub_session_down(w.e, s, &w.now);
  }
  nobody_blamed();
  world_stop(&w);
}

Test(limits, G_35_topics_of_a_peer) {
  world_init(&w, 9);
  world_start(&w, NULL);
  for (int d = -1; d <= 1; d++) {
    uint64_t over = n()->subscriptions_over_limit;
    msub_session s = world_peer(&w, 1);
    cr_assert_eq(subscribe(s, 0, (size_t)(MSUB__PEER_TOPICS + d), 7), MSUB_OK);
    cr_assert_eq(used().topics, (size_t)(d > 0 ? MSUB__PEER_TOPICS : MSUB__PEER_TOPICS + d));
    cr_assert_eq(n()->subscriptions_over_limit - over, d > 0);
    msub_session_down(w.e, s, &w.now);
  }
  for (int d = -1; d <= 1; d++) {
    uint64_t over = n()->subscriptions_over_limit;
    msub_session s = world_peer(&w, 1);
    size_t whole = MSUB__PEER_TOPIC_BYTES / MSUB__TOPIC_NAME;
    cr_assert_eq(whole * MSUB__TOPIC_NAME, MSUB__PEER_TOPIC_BYTES);
    cr_assert_eq(subscribe(s, 0, whole - 1, MSUB__TOPIC_NAME), MSUB_OK);
    cr_assert_eq(subscribe(s, 5000, 1, d < 0 ? MSUB__TOPIC_NAME - 1 : MSUB__TOPIC_NAME), MSUB_OK);
    if (d > 0) cr_assert_eq(world_subscribe(&w, s, "x", true), MSUB_OK);
    cr_assert_eq(used().topics, whole);
    cr_assert_eq(n()->subscriptions_over_limit - over, d > 0);
    msub_session_down(w.e, s, &w.now);
  }
  nobody_blamed();
  world_stop(&w);
}

/* A peer of the reference implementation says all of its topics in one RPC. */
Test(limits, a_hello_of_a_thousand_topics) {
  world_init(&w, 9);
  world_start(&w, NULL);
  msub_topic t = world_join(&w, "0000999.................................................", NULL);
  msub_session s = world_peer(&w, 1);
  cr_assert_eq(subscribe(s, 0, 1000, 56), MSUB_OK);
  cr_assert(used().topics == 1000 && n()->subscriptions_over_limit == 0 && msub_topic_peers(w.e, t) == 1);
  nobody_blamed();
  world_stop(&w);
}

Test(limits, topics_of_an_engine) {
  world_init(&w, 9);
  world_start(&w, NULL);
  uint8_t peers = MSUB__TOPICS / MSUB__PEER_TOPICS;
  msub_session last = { 0 };
  for (uint8_t i = 0; i < peers; i++) {
    last = world_peer(&w, (uint8_t)(i + 1));
    subscribe(last, i * (uint32_t)MSUB__PEER_TOPICS, MSUB__PEER_TOPICS - (i == peers - 1), 7);
  }
  cr_assert_eq(used().topics, MSUB__TOPICS - 1);
  world_subscribe(&w, last, "one", true);
  cr_assert(used().topics == MSUB__TOPICS && n()->subscriptions_over_limit == 0);
  msub_session more = world_peer(&w, (uint8_t)(peers + 1));
  world_subscribe(&w, more, "two", true);
  cr_assert(used().topics == MSUB__TOPICS && n()->subscriptions_over_limit == 1);
  msub_topic t;
  cr_assert_eq(msub_join(w.e, 0, msub_str("three"), NULL, NULL, &w.now, &t), MSUB_ERR_LIMIT);
  world_subscribe(&w, more, "one", true); /* known ones are no new ones */
  cr_assert_eq(n()->subscriptions_over_limit, 1);
  world_subscribe(&w, last, "one", false);
  world_subscribe(&w, more, "one", false);
  world_subscribe(&w, more, "two", true);
  cr_assert(used().topics == MSUB__TOPICS && n()->subscriptions_over_limit == 1, "there is room again");
  nobody_blamed();
  world_stop(&w);
}

Test(limits, bytes_of_all_names) {
  world_init(&w, 9);
  world_start(&w, NULL);
  size_t each = MSUB__PEER_TOPIC_BYTES / MSUB__TOPIC_NAME, left = MSUB__TOPIC_BYTES / MSUB__TOPIC_NAME - 1, done = 0;
  uint8_t peer = 1;
  for (; left > 0; peer++) {
    size_t k = left < each ? left : each;
    subscribe(world_peer(&w, peer), (uint32_t)done, k, MSUB__TOPIC_NAME);
    left -= k;
    done += k;
  }
  msub_session s = world_peer(&w, peer);
  subscribe(s, 7000000, 1, MSUB__TOPIC_NAME - 1); /* one byte is left */
  cr_assert(used().topics == done + 1 && n()->subscriptions_over_limit == 0);
  world_subscribe(&w, s, "ab", true);
  cr_assert(used().topics == done + 1 && n()->subscriptions_over_limit == 1);
  world_subscribe(&w, s, "a", true);
  cr_assert(used().topics == done + 2 && n()->subscriptions_over_limit == 1);
  world_subscribe(&w, s, "b", true);
  cr_assert(used().topics == done + 2 && n()->subscriptions_over_limit == 2);
  msub_topic t;
  cr_assert_eq(msub_join(w.e, 0, msub_str("c"), NULL, NULL, &w.now, &t), MSUB_ERR_LIMIT);
  nobody_blamed();
  world_stop(&w);
}

Test(limits, topic_name) {
  world_init(&w, 9);
  world_start(&w, NULL);
  msub_session s = world_peer(&w, 1);
  char name[MSUB__TOPIC_NAME + 1];
  memset(name, 'j', sizeof name);
  for (int d = -1; d <= 1; d++) {
    msub_topic t;
    size_t size = (size_t)(MSUB__TOPIC_NAME + d);
    uint64_t over = n()->subscriptions_over_limit;
    subscribe(s, 0, 1, size);
    cr_assert_eq(n()->subscriptions_over_limit - over, d > 0);
    cr_assert_eq(msub_join(w.e, 0, (msub_bytes){ (const uint8_t *)name, size }, NULL, NULL, &w.now, &t), d > 0 ? MSUB_ERR_INVAL : MSUB_OK);
  }
  nobody_blamed();
  world_stop(&w);
}

/* ---- work: judgement ---- */

Test(limits, pending_messages) {
  world_init(&w, 9);
  w.jobs_max = WORLD_MAX;
  cr_assert(WORLD_MAX >= MSUB__PENDING_MESSAGES);
  world_start(&w, NULL);
  world_join(&w, "t", NULL);
  msub_session s = world_peer(&w, 1);
  for (uint64_t i = 1; i <= MSUB__PENDING_MESSAGES + 1; i++) {
    uint8_t rpc[300];
    cr_assert_eq(world_receive(&w, s, (msub_bytes){ rpc, world_signed_rpc(rpc, sizeof rpc, 50, i, "t", msub_str("x")) }), MSUB_OK);
    cr_assert_eq(n()->throttled, i > MSUB__PENDING_MESSAGES);
    cr_assert_eq(used().questions, i > MSUB__PENDING_MESSAGES ? MSUB__PENDING_MESSAGES : i);
  }
  world_run_job(&w, 0);
  uint8_t rpc[300];
  world_receive(&w, s, (msub_bytes){ rpc, world_signed_rpc(rpc, sizeof rpc, 50, MSUB__PENDING_MESSAGES + 1, "t", msub_str("x")) });
  cr_assert(n()->throttled == 1 && used().questions == MSUB__PENDING_MESSAGES, "refused for want of room: it may come again");
  nobody_blamed();
  world_stop(&w);
}

/* A signed message of exactly `size` bytes. */
static msub_bytes signed_of(size_t size, uint64_t seqno) {
  static uint8_t data[MSUB__MESSAGE_BYTES];
  for (size_t k = size - 150;; k++) {
    size_t all = world_signed_rpc(buf, sizeof buf, 50, seqno, "t", (msub_bytes){ data, k });
    size_t raw = all - 1 - (size_t)msub_varint_size(size);
    cr_assert_leq(raw, size, "there is no message of %zu bytes", size);
    if (raw == size) return (msub_bytes){ buf, all };
    k += size - raw - 1;
  }
}

/* U-01: of all peers together. */
Test(limits, pending_bytes) {
  for (int d = -1; d <= 1; d++) {
    world_init(&w, 9);
    w.opts.max_rpc = 2 * MSUB__RPC_BYTES;
    world_start(&w, NULL);
    world_join(&w, "t", NULL);
    msub_session s = world_peer(&w, 1);
    size_t left = MSUB__PENDING_BYTES + (size_t)d;
    for (uint64_t i = 1; left > 0; i++) {
      size_t size = left > MSUB__MESSAGE_BYTES ? MSUB__MESSAGE_BYTES : left;
      if (left > size && left - size < 1000) size -= 1000; /* the last one needs some bytes */
      cr_assert_eq(n()->throttled, 0);
      cr_assert_eq(world_receive(&w, s, signed_of(size, i)), MSUB_OK);
      left -= size;
    }
    cr_assert_eq(n()->throttled, d > 0, "%+d", d);
    nobody_blamed();
    world_stop(&w);
  }
}

static size_t told_senders;
static void note_senders(msub_router *r, msub_topic t, const msub_msg *m, const msub_peer *from, size_t k, msub_verdict v, int reason) {
  (void)r, (void)t, (void)m, (void)from, (void)v, (void)reason;
  told_senders = k;
}
Test(limits, senders) {
  for (int d = -1; d <= 1; d++) {
    msub_router_ops ops = msub_floodsub;
    ops.validated = note_senders;
    world_init(&w, 9);
    world_start(&w, &ops);
    world_join(&w, "t", NULL);
    uint8_t rpc[300];
    msub_bytes m = { rpc, world_signed_rpc(rpc, sizeof rpc, 50, 1, "t", msub_str("x")) };
    for (uint8_t i = 0; i < MSUB__SENDERS + d; i++) world_receive(&w, world_peer(&w, (uint8_t)(i + 1)), m);
    world_run_jobs(&w);
    cr_assert_eq(told_senders, (size_t)(d > 0 ? MSUB__SENDERS : MSUB__SENDERS + d));
    cr_assert(n()->copies_pending == (uint64_t)(MSUB__SENDERS + d - 1) && w.n_delivered == 1);
    world_stop(&w);
  }
}

static bool is_duplicate(msub_session s, uint32_t number) {
  uint64_t before = n()->duplicates;
  world_receive(&w, s, message(number));
  return n()->duplicates > before;
}

Test(limits, seen_bytes) {
  anonymous();
  w.ops.deliver = take_all;
  world_start(&w, NULL);
  world_join(&w, "t", &world_data_ids);
  msub_session s = world_peer(&w, 1);
  uint32_t most = 0;
  size_t bytes = 0;
  for (; n()->seen_evicted == 0; most++) {
    bytes = used().seen_bytes;
    world_receive(&w, s, message(most));
  }
  most--; /* fitted; one below that too, and one above it made the first one go */
  cr_assert(used().seen == most && n()->seen_evicted == 1 && n()->duplicates == 0);
  /* entries and index; the list of their segments comes on top */
  cr_assert(bytes <= MSUB__SEEN_BYTES + 16384 && bytes > MSUB__SEEN_BYTES / 4 * 3, "%zu bytes for %u ids", bytes, (unsigned)most);
  cr_assert(is_duplicate(s, most) && is_duplicate(s, 1) && !is_duplicate(s, 0));
  cr_assert(n()->seen_evicted == 2 && !is_duplicate(s, 1));
  nobody_blamed();
  world_stop(&w);
}

Test(limits, G_32_seen_ttl) {
  anonymous();
  world_start(&w, NULL);
  world_join(&w, "t", &world_data_ids);
  msub_session s = world_peer(&w, 1);
  uint64_t begun = w.now.mono_ns, ttl = (uint64_t)MSUB__SEEN_TTL_S * 1000000000u;
  world_receive(&w, s, message(1));
  w.now.mono_ns = begun + ttl - 2; /* times are kept to two nanoseconds */
  cr_assert(is_duplicate(s, 1));
  w.now.mono_ns = begun + ttl;
  cr_assert(!is_duplicate(s, 1));
  w.now.mono_ns = begun + ttl + 1;
  cr_assert(is_duplicate(s, 1) && w.n_delivered == 2);
  world_stop(&w);
}

Test(limits, bad_bytes) {
  uint8_t rpc[300];
  size_t size = world_signed_rpc(rpc, sizeof rpc, 50, 1, "t", msub_str("a message that says something"));
  uint8_t *number = rpc + size - 4; /* of the signature */
  for (int d = -1; d <= 1; d++) {
    world_init(&w, 9);
    world_start(&w, NULL);
    world_join(&w, "t", NULL);
    msub_session s = world_peer(&w, 1);
    for (uint32_t i = 0; i < (uint32_t)(MSUB__BAD_BYTES + d); i++) {
      uint32_t bits = i + 0x01010101;
      memcpy(number, &bits, sizeof bits);
      world_receive(&w, s, (msub_bytes){ rpc, size });
      world_run_jobs(&w);
    }
    cr_assert(n()->bad_bytes_again == 0 && n()->rejected == (uint64_t)(MSUB__BAD_BYTES + d));
    memset(number, 1, 4); /* the first one again */
    world_receive(&w, s, (msub_bytes){ rpc, size });
    cr_assert_eq(n()->bad_bytes_again, d > 0 ? 0 : 1, "%+d", d);
    cr_assert_eq(w.n_jobs, d > 0 ? 1 : 0);
    world_stop(&w);
  }
}

static msub_verdict later(void *ud, const msub_msg *m, msub_peer from, msub_token token, msub_job *job) {
  (void)ud, (void)m, (void)from, (void)token, (void)job;
  return MSUB_PENDING;
}
Test(limits, validate_timeout) {
  anonymous();
  world_start(&w, NULL);
  msub_topic t = world_join(&w, "t", &world_data_ids);
  msub_validator(w.e, t, later, NULL);
  world_receive(&w, world_peer(&w, 1), message(1));
  uint64_t at = w.now.mono_ns + (uint64_t)MSUB__VALIDATE_TIMEOUT_S * 1000000000u;
  cr_assert_eq(msub_next_deadline(w.e), at);
  for (int d = -1; d <= 1; d++) {
    w.now.mono_ns = at + (uint64_t)(int64_t)d;
    cr_assert_eq(msub_advance(w.e, &w.now), MSUB_OK);
    cr_assert_eq(n()->timeouts, d >= 0);
    cr_assert_eq(n()->ignored, d >= 0);
  }
  world_stop(&w);
}

/* A record of one that did little is given up for those that did more. */
Test(limits, conduct_entries) {
  for (int d = -1; d <= 1; d++) {
    world_init(&w, 9);
    world_start(&w, NULL);
    msub_session s = world_peer(&w, 1);
    cr_assert_eq(world_receive(&w, s, msub_str("\x07")), MSUB_ERR_MALFORMED); /* a quarter of the budget */
    for (uint32_t i = 1; i < (uint32_t)(MSUB__CONDUCT_ENTRIES + d); i++) {
      uint8_t id[8] = { 1, 2, 3 };
      memcpy(id + 4, &i, sizeof i);
      cr_assert_eq(msub_report(w.e, (msub_bytes){ id, sizeof id }, (msub_bytes){ NULL, 0 }, MSUB_R_MALFORMED_STREAM, 50, &w.now), MSUB_OK);
    }
    for (unsigned i = 0; i < 3; i++) world_receive(&w, s, msub_str("\x07"));
    cr_assert_eq(w.n_disconnected, d > 0 ? 0 : 1, "%+d", d);
    msub_peer_id id = world_peer_id(1);
    cr_assert_eq(msub_allows(w.e, msub_peer_id_bytes(&id), (msub_bytes){ NULL, 0 }, &w.now, NULL), d > 0 ? MSUB_OK : MSUB_ERR_REFUSED);
    world_stop(&w);
  }
}

/* ---- what we send ---- */

static unsigned parts_of_hello(void) {
  world_clear(&w);
  world_peer(&w, 2);
  for (size_t i = 0; i < w.n_sent; i++) {
    msub_rpc_counts c;
    cr_assert_eq(msub_rpc_scan((msub_bytes){ w.sent[i].rpc, w.sent[i].n }, NULL, &c), MSUB_OK);
    cr_assert(c.subscriptions <= MSUB__SEND_SUBSCRIPTIONS && w.sent[i].n <= MSUB__SEND_CONTROL_BYTES);
  }
  return (unsigned)w.n_sent;
}
Test(limits, send_subscriptions) {
  for (int d = -1; d <= 1; d++) {
    world_init(&w, 9);
    world_start(&w, NULL);
    for (int i = 0; i < MSUB__SEND_SUBSCRIPTIONS + d; i++) {
      char name[16];
      snprintf(name, sizeof name, "%d", i);
      world_join(&w, name, NULL);
    }
    cr_assert_eq(parts_of_hello(), d > 0 ? 2 : 1);
    world_stop(&w);
  }
}
Test(limits, send_control_bytes) {
  /* An entry as it is encoded: tag and length, subscribe, tag and length of the name, the name, two flags. */
  const size_t around = 2 + 1 + 2 + 2 + 1 + 4;
  size_t entry = MSUB__TOPIC_NAME + around, whole = MSUB__SEND_CONTROL_BYTES / entry - 1, rest = MSUB__SEND_CONTROL_BYTES - whole * entry;
  size_t second = rest / 2; /* what is left is two names that are shorter, but long enough to have lengths of two bytes */
  cr_assert(second > around + 130 && whole + 2 < MSUB__SEND_SUBSCRIPTIONS);
  for (int d = -1; d <= 1; d++) {
    char name[MSUB__TOPIC_NAME + 1];
    world_init(&w, 9);
    world_start(&w, NULL);
    for (size_t i = 0; i < whole + 2; i++) {
      size_t size = i < whole ? MSUB__TOPIC_NAME : i == whole ? second - around : rest - second - around + (size_t)d;
      memset(name, '.', sizeof name);
      name[snprintf(name, 8, "%zu", i)] = '.';
      name[size] = 0;
      world_join(&w, name, NULL);
    }
    cr_assert_eq(parts_of_hello(), d > 0 ? 2 : 1, "%+d", d);
    world_stop(&w);
  }
}

/* ---- of the program ---- */

static int layout_one(msub_layout *l, const void *opts) { return msub_layout_protocol(l, opts, 0); }
Test(limits, routers) {
  static const char *const ids[MSUB__ROUTERS + 1] = { "/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7" };
  for (int d = -1; d <= 1; d++) {
    const msub_plan *plans[MSUB__ROUTERS + 1];
    const msub_router_ops ops = { .abi = MSUB_ABI, .size = sizeof ops, .name = "one", .layout = layout_one };
    world_init(&w, 9);
    msub_mem mem = world_mem(&w);
    static const uint8_t entropy[32] = { 4 };
    cr_assert_eq(msub_shared_new(&mem, entropy, &w.sh), MSUB_OK);
    for (unsigned i = 0; i <= MSUB__ROUTERS; i++) cr_assert_eq(msub_plan_new(w.sh, &ops, ids[i], &plans[i]), MSUB_OK);
    w.opts.world = &w.ops;
    w.opts.w = &w;
    w.opts.self_id = msub_key_peer_id(w.key);
    w.opts.routers = plans;
    w.opts.n_routers = (size_t)(MSUB__ROUTERS + d);
    cr_assert_eq(msub_engine_new(w.sh, &w.opts, &w.now, &w.e), d > 0 ? MSUB_ERR_INVAL : MSUB_OK);
    if (d == 0) cr_assert_str_eq(msub_engine_protocol(w.e, MSUB__ROUTERS - 1), "/6");
    if (d > 0) w.e = NULL;
    world_stop(&w);
  }
}

static int wanted;
static int layout_protocols(msub_layout *l, const void *opts) {
  (void)opts;
  int rc = MSUB_OK;
  for (int i = 0; i < wanted && rc == MSUB_OK; i++) {
    char id[8] = { '/', (char)('a' + i), 0 };
    rc = msub_layout_protocol(l, id, 0);
  }
  return rc;
}
static void (*block_of)(msub_layout *l, size_t n, size_t align);
static int layout_block(msub_layout *l, const void *opts) {
  (void)opts;
  block_of(l, (size_t)wanted, 4);
  return msub_layout_protocol(l, "/a", 0);
}
Test(limits, plans) {
  static void (*const blocks[])(msub_layout *l, size_t n, size_t align) = { msub_layout_state, msub_layout_session, msub_layout_topic,
                                                                            msub_layout_link };
  static const uint8_t entropy[32] = { 4 };
  msub_shared *sh;
  const msub_plan *p;
  cr_assert_eq(msub_shared_new(NULL, entropy, &sh), MSUB_OK);
  msub_router_ops ops = msub_floodsub;
  for (int d = -1; d <= 1; d++) {
    ops.layout = layout_protocols;
    wanted = MSUB__PROTOCOLS + d;
    cr_assert_eq(msub_plan_new(sh, &ops, NULL, &p), d > 0 ? MSUB_ERR_LIMIT : MSUB_OK);
    ops.layout = layout_block;
    for (unsigned i = 0; i < 4; i++) {
      /* State and session blocks share the bound with what the engine keeps beside them. */
      size_t beside = blocks[i] == msub_layout_state ? (MSUB__RNG_STREAMS * sizeof(uint32_t) + 7) / 8 * 8
                      : blocks[i] == msub_layout_session ? (sizeof(msub__session) + 7) / 8 * 8 : 0;
      wanted = (int)(MSUB__BLOCK_BYTES - beside) + d;
      block_of = blocks[i];
      cr_assert_eq(msub_plan_new(sh, &ops, NULL, &p), d > 0 ? MSUB_ERR_LIMIT : MSUB_OK, "block %u, %+d", i, d);
    }
  }
  cr_assert_eq(msub_shared_free(sh), MSUB_OK);
}

static msub_verdict fine(void *ud, const msub_msg *m, msub_peer from, msub_token token, msub_job *job) {
  (void)m, (void)from, (void)token, (void)job;
  ++*(unsigned *)ud;
  return MSUB_ACCEPT;
}
Test(limits, validators) {
  unsigned calls = 0;
  anonymous();
  world_start(&w, NULL);
  msub_topic t = world_join(&w, "t", &world_data_ids), all = { 0 };
  for (unsigned i = 1; i <= MSUB__VALIDATORS + 1; i++) {
    cr_assert_eq(msub_validator(w.e, t, fine, &calls), i > MSUB__VALIDATORS ? MSUB_ERR_LIMIT : MSUB_OK);
    cr_assert_eq(msub_validator(w.e, all, fine, &calls), i > MSUB__VALIDATORS ? MSUB_ERR_LIMIT : MSUB_OK);
  }
  world_receive(&w, world_peer(&w, 1), message(1));
  cr_assert(calls == 2 * MSUB__VALIDATORS && w.n_delivered == 1);
  world_stop(&w);
}

/* Deferred calls from inside on_deliver: answers to nobody, which are counted as stale when they run. */
static size_t pushes, pushed;
static void push_answers(world *x, const msub_msg *m) {
  (void)m;
  for (pushed = 0; pushed < pushes; pushed++)
    if (msub_complete(x->e, (msub_token){ 1 }, MSUB_ACCEPT, NULL) != MSUB_OK) return;
}
Test(limits, deferred_turn) {
  anonymous();
  w.on_deliver = push_answers;
  world_start(&w, NULL);
  world_join(&w, "t", &world_data_ids);
  msub_session s = world_peer(&w, 1);
  for (int d = -1; d <= 1; d++) {
    uint64_t before = n()->stale;
    pushes = (size_t)(MSUB__DEFERRED_TURN + d);
    world_receive(&w, s, message((uint32_t)(d + 5)));
    cr_assert_eq(n()->stale - before, d > 0 ? MSUB__DEFERRED_TURN : pushes);
    cr_assert_eq(msub_next_deadline(w.e), d > 0 ? w.now.mono_ns : MSUB_NEVER);
    msub_advance(w.e, &w.now);
    cr_assert_eq(n()->stale - before, pushes);
  }
  world_stop(&w);
}
Test(limits, inbox_calls) {
  anonymous();
  w.on_deliver = push_answers;
  world_start(&w, NULL);
  world_join(&w, "t", &world_data_ids);
  msub_session s = world_peer(&w, 1);
  for (int d = -1; d <= 1; d++) {
    uint64_t stale = n()->stale, full = n()->inbox_full;
    pushes = (size_t)(MSUB__INBOX_CALLS + d);
    world_receive(&w, s, message((uint32_t)(d + 5)));
    cr_assert_eq(pushed, d > 0 ? MSUB__INBOX_CALLS : pushes);
    cr_assert_eq(n()->inbox_full - full, d > 0);
    while (msub_next_deadline(w.e) == w.now.mono_ns) msub_advance(w.e, &w.now);
    cr_assert_eq(n()->stale - stale, pushed);
  }
  world_stop(&w);
}

static msub_topic own_topic;
static size_t own_bytes, own_full;
static void push_bytes(world *x, const msub_msg *m) {
  static const uint8_t data[MSUB__MESSAGE_BYTES];
  (void)m;
  x->on_deliver = NULL;
  own_full = 0;
  for (size_t left = own_bytes, size; left > 0; left -= size) {
    size = left < MSUB__MESSAGE_BYTES ? left : MSUB__MESSAGE_BYTES;
    int rc = msub_publish(x->e, own_topic, (msub_bytes){ data, size }, NULL, NULL);
    if (rc == MSUB_ERR_LIMIT) own_full++;
    else cr_assert_eq(rc, MSUB_OK);
  }
}
Test(limits, inbox_bytes) {
  for (int d = -1; d <= 1; d++) {
    anonymous();
    world_start(&w, NULL);
    own_topic = world_join(&w, "t", &world_data_ids);
    w.on_deliver = push_bytes;
    own_bytes = MSUB__INBOX_BYTES + (size_t)d;
    world_receive(&w, world_peer(&w, 1), message(5));
    cr_assert(own_full == (d > 0) && n()->inbox_full == (d > 0));
    world_stop(&w);
  }
}

Test(limits, slots) {
  world_init(&w, 9);
  world_start(&w, NULL);
  msub_session s = { 0 };
  for (uint32_t i = 1; i <= MSUB__SLOTS + 1; i++) {
    uint8_t id[8] = { 9 };
    memcpy(id + 4, &i, sizeof i);
    msub_session_opts o = { .peer_id = { id, sizeof id }, .protocol = "/floodsub/1.0.0" };
    int rc = msub_session_up(w.e, &o, &w.now, &s);
    if (rc != (i > MSUB__SLOTS ? MSUB_ERR_LIMIT : MSUB_OK)) cr_assert(false, "session %u: %d", (unsigned)i, rc);
  }
  cr_assert_eq(msub_session_count(w.e), MSUB__SLOTS);
  cr_assert_eq(msub_session_down(w.e, s, &w.now), MSUB_OK);
  world_peer(&w, 1);
  cr_assert_eq(msub_session_count(w.e), MSUB__SLOTS, "there was room again");
  world_stop(&w);
}

static unsigned streams[2];
static uint32_t drawn[2];
static int draw(msub_router *r) {
  for (unsigned i = 0; i < 2; i++) drawn[i] = msub_r_rand(r, streams[i], UINT32_MAX);
  return MSUB_OK;
}
static uint32_t second_draw(unsigned of) {
  msub_router_ops ops = msub_floodsub;
  ops.init = draw;
  streams[0] = 0;
  streams[1] = of;
  world_init(&w, 9);
  world_start(&w, &ops);
  world_stop(&w);
  return drawn[1];
}
Test(limits, rng_streams) {
  uint32_t next = second_draw(0);
  cr_assert_neq(second_draw(MSUB__RNG_STREAMS - 1), next, "a stream of its own");
  cr_assert_eq(second_draw(MSUB__RNG_STREAMS), next, "the first one again");
  cr_assert_eq(second_draw(MSUB__RNG_STREAMS + 1), second_draw(1));
}
