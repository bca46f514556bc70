/* Who signs, what is taken, in whose name and with which number. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine_world.h"
#include "meshsub/author.h"
#include "pubsub/limits.h"
#include "tests/hex.h"
#include "tests/support/other_keys.h"

static world w;
static uint8_t buf[70000];

static size_t id_of_wire_data(const msub_msg *m, uint8_t out[MSUB_MAX_ID]) { return msub_id_sha256(m, out); }
static const msub_channel_policy sha = { .abi = MSUB_ABI, .size = sizeof sha, .name = "sha", .message_id = id_of_wire_data };

static void start(msub_sign_policy policy) {
  world_init(&w, 9);
  w.opts.sign = policy;
  world_start(&w, NULL);
}

static msub_bytes as_rpc(const msub_msg_view *v) {
  size_t n = msub_msg_encode(v, NULL, 0);
  buf[0] = 0x12;
  size_t head = 1 + msub_varint_put(buf + 1, n);
  cr_assert_leq(head + n, sizeof buf);
  msub_msg_encode(v, buf + head, n);
  return (msub_bytes){ buf, head + n };
}

/* A message of this key; which: MSUB_HAS_* of what it has. */
static msub_bytes message(const msub_key *k, msub_bytes from, msub_bytes seqno, msub_bytes key, unsigned which, const char *data) {
  static uint8_t sig[MSUB_SIG_MAX], plain[2000];
  msub_msg_view v = { .from = from, .data = msub_str(data), .seqno = seqno, .topic = msub_str("t") };
  v.present = (uint8_t)((which & (MSUB_HAS_FROM | MSUB_HAS_SEQNO)) | MSUB_HAS_DATA | MSUB_HAS_TOPIC);
  if (!(which & MSUB_HAS_FROM)) v.from = (msub_bytes){ NULL, 0 };
  if (!(which & MSUB_HAS_SEQNO)) v.seqno = (msub_bytes){ NULL, 0 };
  size_t n = msub_msg_encode(&v, plain, sizeof plain);
  cr_assert_leq(n, sizeof plain);
  if (which & MSUB_HAS_SIGNATURE) {
    msub_bytes parts[2] = { msub_str("libp2p-pubsub:"), { plain, n } };
    int len = msub_key_sign_parts(k, parts, 2, sig, sizeof sig);
    cr_assert_gt(len, 0);
    v.signature = (msub_bytes){ sig, (size_t)len };
  }
  if (which & MSUB_HAS_KEY) v.key = key;
  v.present |= (uint8_t)(which & (MSUB_HAS_SIGNATURE | MSUB_HAS_KEY));
  return as_rpc(&v);
}

static msub_key *key_of(uint8_t seed) {
  uint8_t bytes[32];
  msub_key *k;
  memset(bytes, seed, sizeof bytes);
  cr_assert_eq(msub_key_from_seed(bytes, &k), MSUB_OK);
  return k;
}
static msub_key *imported(const char *hex) {
  msub_key *k;
  cr_assert_eq(msub_key_import(test_hex(hex), &k), MSUB_OK);
  return k;
}

#define F MSUB_HAS_FROM
#define N MSUB_HAS_SEQNO
#define S MSUB_HAS_SIGNATURE
#define K MSUB_HAS_KEY
static const uint8_t one[32] = { 0, 0, 0, 0, 0, 0, 0, 1 };

Test(signing, policies) {
  /* What comes: d(elivered), r(ejected), i(gnored), in the order of msub_sign_policy. */
  static const struct { unsigned has; size_t seqno_n; bool bad; const char *want; } cases[] = {
    { 0, 8, false, "rdddd" },         /* data and topic */
    { F, 8, false, "rrddd" },
    { N, 8, false, "rrddd" },
    { F | N, 8, false, "rrddd" },
    { F | N, 7, false, "rriii" },     /* a number is 8 bytes or none */
    { F | N, 0, false, "rriii" },
    { K, 8, false, "rrddd" },
    { F | N | S, 8, false, "drrdd" },
    { F | N | S, 8, true, "rrrrr" },  /* with a bit of its data changed */
    { F | N | S | K, 8, false, "drrdd" },
    { F | N | S, 9, false, "irrii" },
    { F | S, 8, false, "irrii" },
    { N | S, 8, false, "rrrrr" },     /* signed by nobody */
    { S, 8, false, "rrrrr" },
  };
  msub_key *k = key_of(50);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (unsigned p = 0; p < MSUB_SIGN_POLICIES; p++) {
      start((msub_sign_policy)p);
      world_join(&w, "t", &sha);
      msub_bytes rpc = message(k, msub_key_peer_id(k), (msub_bytes){ one, cases[i].seqno_n }, msub_key_public(k), cases[i].has, "hello");
      if (cases[i].bad) buf[rpc.n - 67 - 3 - 10 - 1] ^= 1; /* topic (3), number (10) and signature (66) stand behind it */
      world_receive(&w, world_peer(&w, 1), rpc);
      world_run_jobs(&w);
      const msub_counts *c = msub_count(w.e);
      char got = c->delivered ? 'd' : c->rejected ? 'r' : c->ignored ? 'i' : '-';
      cr_expect_eq(got, cases[i].want[p], "case %zu, policy %u: %c", i, p, got);
      cr_expect_eq(c->blamed, 0, "nobody is to blame for what he passes on");
      world_stop(&w);
    }
  msub_key_free(k);
}

static unsigned published_fields(msub_sign_policy policy, msub_channel_sign sign) {
  start(policy);
  msub_channel_policy p = sha;
  p.sign = sign;
  msub_topic t = world_join(&w, "t", &p);
  world_subscribe(&w, world_peer(&w, 1), "t", true);
  world_clear(&w);
  cr_assert_eq(msub_publish(w.e, t, msub_str("x"), &w.now, NULL), MSUB_OK);
  cr_assert_eq(w.n_sent, 1);
  msub_rpc_iter it;
  msub_rpc_part part;
  msub_rpc_begin(&it, (msub_bytes){ w.sent[0].rpc, w.sent[0].n });
  cr_assert_eq(msub_rpc_next(&it, &part), MSUB_P_MESSAGE);
  if (part.msg.present & S) cr_assert_eq(msub_signature_verify(part.msg.raw.p, part.msg.raw.n), MSUB_ACCEPT);
  unsigned has = part.msg.present & (F | N | S | K);
  world_stop(&w);
  return has;
}

Test(signing, published) {
  static const unsigned want[MSUB_SIGN_POLICIES] = { F | N | S, 0, F | N, F | N | S, F | N };
  static const msub_channel_sign same[MSUB_SIGN_POLICIES] = { MSUB_SIGN_ALWAYS, MSUB_SIGN_NEVER, MSUB_SIGN_AUTHOR, MSUB_SIGN_LAX, MSUB_SIGN_LAX_NEVER };
  for (unsigned p = 0; p < MSUB_SIGN_POLICIES; p++) {
    cr_expect_eq(published_fields((msub_sign_policy)p, MSUB_SIGN_DEFAULT), want[p]);
    for (unsigned engine = 0; engine < MSUB_SIGN_POLICIES; engine++) /* the topic's own word counts */
      cr_expect_eq(published_fields((msub_sign_policy)engine, same[p]), want[p], "topic %u, engine %u", p, engine);
  }
  /* What a policy needs. */
  static const bool signs[] = { true, false, false, true, false }, verifies[] = { true, false, false, true, true }, ids[] = { false, true, false, false, false };
  for (unsigned p = 0; p < MSUB_SIGN_POLICIES; p++)
    for (unsigned lacks = 0; lacks < 3; lacks++) {
      world_init(&w, 9);
      w.opts.sign = (msub_sign_policy)p;
      if (lacks == 1) w.ops.sign = NULL;
      if (lacks == 2) w.opts.verify = NULL;
      bool bad = (lacks == 1 && signs[p]) || (lacks == 2 && verifies[p]);
      msub_mem mem = world_mem(&w);
      cr_assert_eq(world_try_start(&w, NULL, &mem), bad ? MSUB_ERR_INVAL : MSUB_OK);
      if (!bad) { /* and the same of a topic */
        msub_topic t;
        cr_expect_eq(msub_join(w.e, 0, msub_str("t"), NULL, NULL, &w.now, &t), ids[p] ? MSUB_ERR_INVAL : MSUB_OK);
        msub_channel_policy lax = sha;
        lax.sign = MSUB_SIGN_LAX;
        cr_expect_eq(msub_join(w.e, 0, msub_str("l"), &lax, NULL, &w.now, &t), lacks ? MSUB_ERR_INVAL : MSUB_OK);
        lax.sign = MSUB_SIGN_LAX_NEVER;
        cr_expect_eq(msub_join(w.e, 0, msub_str("n"), &lax, NULL, &w.now, &t), lacks == 2 ? MSUB_ERR_INVAL : MSUB_OK);
        lax.sign = MSUB_SIGN_AUTHOR;
        cr_expect_eq(msub_join(w.e, 0, msub_str("a"), &lax, NULL, &w.now, &t), MSUB_OK);
      }
      world_stop(&w);
    }
  world_init(&w, 9);
  w.opts.sign = (msub_sign_policy)MSUB_SIGN_POLICIES;
  msub_mem mem = world_mem(&w);
  cr_assert_eq(world_try_start(&w, NULL, &mem), MSUB_ERR_INVAL);
  world_stop(&w);
}

/* Key type × key field × author: only the author's own key counts, and a key field only where the id holds none. */
Test(signing, G_05_origin_is_bound_to_the_key) {
  static const char *const hex[] = { NULL, SECP_PRIVATE, EC_PRIVATE, RSA_PRIVATE };
  msub_key *victim = key_of(60);
  for (unsigned type = 0; type < 4; type++) {
    msub_key *k = hex[type] ? imported(hex[type]) : key_of(50);
    msub_bytes id = msub_key_peer_id(k), own = msub_key_public(k);
    bool inlined = msub_peer_id_public_key(id).n > 0;
    uint8_t odd[MSUB_PUBLIC_KEY_MAX + 2];
    memcpy(odd, own.p, own.n);
    memcpy(odd + own.n, "\x18\x01", 2);
    const msub_bytes fields[] = { { NULL, 0 }, own, msub_key_public(victim), { own.p, own.n - 1 }, { odd, own.n + 2 }, { own.p, 0 } };
    const msub_bytes authors[] = { id, msub_key_peer_id(victim), { NULL, 0 }, { id.p, id.n - 1 }, { id.p, 0 } };
    for (unsigned f = 0; f < 6; f++)
      for (unsigned a = 0; a < 5; a++) {
        unsigned has = N | S | (f ? K : 0u) | (a == 2 ? 0u : F);
        start(MSUB_STRICT_SIGN);
        world_join(&w, "t", NULL);
        world_receive(&w, world_peer(&w, 1), message(k, authors[a], (msub_bytes){ one, 8 }, fields[f], has, "x"));
        world_run_jobs(&w);
        bool good = a == 0 && (f == 1 || (f == 0 && inlined));
        cr_expect_eq(w.n_delivered, good, "type %u, key field %u, author %u", type, f, a);
        cr_expect_eq(msub_count(w.e)->rejected, !good);
        world_stop(&w);
      }
    msub_key_free(k);
  }
  msub_key_free(victim);
}

/* The author's id written out although its key is too long for that: others take it, so it is nobody's fault. */
Test(signing, long_identities_are_ignored) {
  static const char *const hex[] = { EC_PRIVATE, RSA_PRIVATE };
  for (unsigned i = 0; i < 2; i++)
    for (unsigned attached = 0; attached < 2; attached++) {
      msub_key *k = imported(hex[i]);
      msub_bytes own = msub_key_public(k);
      uint8_t id[400] = { 0 };
      size_t head = 1 + msub_varint_put(id + 1, own.n);
      memcpy(id + head, own.p, own.n);
      start(MSUB_STRICT_SIGN);
      world_join(&w, "t", NULL);
      world_receive(&w, world_peer(&w, 1), message(k, (msub_bytes){ id, head + own.n }, (msub_bytes){ one, 8 }, own, F | N | S | (attached ? K : 0), "x"));
      world_run_jobs(&w);
      cr_expect_eq(msub_count(w.e)->ignored, 1, "%u %u", i, attached);
      world_stop(&w);
      msub_key_free(k);
    }
}

/* A number of any length: it is 8 bytes, or the message goes nowhere and nobody is blamed. */
Test(signing, G_22_sequence_numbers_have_eight_bytes) {
  msub_key *k = key_of(50);
  uint8_t number[33];
  memset(number, 7, sizeof number);
  for (size_t n = 0; n <= sizeof number; n++)
    for (unsigned p = 0; p < MSUB_SIGN_POLICIES; p++) {
      bool is_signed = p == MSUB_STRICT_SIGN || p == MSUB_LAX_SIGN || p == MSUB_LAX_NO_SIGN;
      if (p == MSUB_STRICT_NO_SIGN) continue;
      start((msub_sign_policy)p);
      world_join(&w, "t", NULL); /* the default id takes author and number */
      world_receive(&w, world_peer(&w, 1), message(k, msub_key_peer_id(k), (msub_bytes){ number, n }, (msub_bytes){ NULL, 0 }, F | N | (is_signed ? S : 0), "x"));
      world_run_jobs(&w);
      cr_expect_eq(w.n_delivered, n == 8, "%zu bytes, policy %u", n, p);
      cr_expect_eq(msub_count_reason(w.e, MSUB_R_BAD_SEQNO), n != 8);
      cr_expect_eq(msub_count(w.e)->rejected, 0);
      world_stop(&w);
    }
  msub_key_free(k);
}

/* ---- authors ---- */

static msub_msg_view sent_message(size_t i) {
  msub_rpc_iter it;
  msub_rpc_part part;
  msub_rpc_begin(&it, (msub_bytes){ w.sent[i].rpc, w.sent[i].n });
  cr_assert_eq(msub_rpc_next(&it, &part), MSUB_P_MESSAGE);
  return part.msg;
}

static msub_author author_of(const msub_key *k) {
  msub_author a;
  msub_author_init(&a);
  a.id = msub_key_peer_id(k);
  if (msub_peer_id_public_key(a.id).n == 0) a.key_field = msub_key_public(k);
  a.sign = msub_key_signer;
  a.sign_ud = (void *)(uintptr_t)k;
  return a;
}

Test(signing, another_author) {
  static const char *const hex[] = { NULL, SECP_PRIVATE, EC_PRIVATE, RSA_PRIVATE };
  for (unsigned type = 0; type < 4; type++) {
    msub_key *k = hex[type] ? imported(hex[type]) : key_of(50);
    start(MSUB_STRICT_SIGN);
    msub_topic t = world_join(&w, "t", NULL);
    world_subscribe(&w, world_peer(&w, 1), "t", true);
    world_clear(&w);
    msub_author a = author_of(k);
    msub_token ticket;
    cr_assert_eq(msub_publish_as(w.e, t, msub_str("x"), &a, &w.now, &ticket), MSUB_OK, "type %u", type);
    cr_assert(w.n_results == 1 && w.results[0].ticket == ticket.v && w.results[0].recipients == 1);
    msub_msg_view v = sent_message(0);
    cr_assert(msub_bytes_eq(v.from, a.id) && msub_bytes_eq(v.key, a.key_field));
    cr_assert_eq(msub_signature_verify(v.raw.p, v.raw.n), MSUB_ACCEPT);
    cr_assert_eq(w.n_delivered, 1, "and to ourselves");
    /* A number of the caller's, which does not move the engine's counter. */
    a.numbered = true;
    a.seqno = 7;
    cr_assert_eq(msub_publish_as(w.e, t, msub_str("y"), &a, &w.now, NULL), MSUB_OK);
    v = sent_message(1);
    cr_assert(msub_bytes_eq(v.seqno, (msub_bytes){ (const uint8_t *)"\0\0\0\0\0\0\0\7", 8 }));
    cr_assert_eq(msub_publish_as(w.e, t, msub_str("y"), &a, &w.now, NULL), MSUB_OK, "the same again has been everywhere");
    cr_assert_eq(w.n_sent, 2);
    cr_assert_eq(msub_publish(w.e, t, msub_str("z"), &w.now, NULL), MSUB_OK);
    v = sent_message(2);
    cr_assert(msub_bytes_eq(v.from, msub_key_peer_id(w.key)));
    cr_assert_eq(v.seqno.p[7], (uint8_t)(UINT64_C(1700000000000000000) + 2), "one for the first of the other's, one for this");
    /* Only a number: the author is the node. */
    msub_author_init(&a);
    a.numbered = true;
    a.seqno = 99;
    cr_assert_eq(msub_publish_as(w.e, t, msub_str("n"), &a, &w.now, NULL), MSUB_OK);
    v = sent_message(3);
    cr_assert(msub_bytes_eq(v.from, msub_key_peer_id(w.key)) && v.seqno.p[7] == 99);
    world_stop(&w);
    msub_key_free(k);
  }
}

static int refuses(void *ud, const msub_bytes *parts, size_t n, uint8_t *out, size_t cap) {
  (void)parts, (void)n, (void)out, (void)cap;
  return *(int *)ud;
}

Test(signing, authors_that_are_refused) {
  msub_key *k = key_of(50), *other = key_of(51);
  start(MSUB_STRICT_SIGN);
  msub_topic t = world_join(&w, "t", NULL), anonymous, authored;
  msub_channel_policy p = sha;
  p.sign = MSUB_SIGN_NEVER;
  cr_assert_eq(msub_join(w.e, 0, msub_str("a"), &p, NULL, &w.now, &anonymous), MSUB_OK);
  p.sign = MSUB_SIGN_AUTHOR;
  cr_assert_eq(msub_join(w.e, 0, msub_str("b"), &p, NULL, &w.now, &authored), MSUB_OK);
  msub_author a = author_of(k);
  a.sign_ud = other;
  cr_expect_eq(msub_publish_as(w.e, t, msub_str("x"), &a, &w.now, NULL), MSUB_ERR_CRYPTO, "a key of somebody else's");
  a.key_field = msub_key_public(other);
  cr_expect_eq(msub_publish_as(w.e, t, msub_str("x"), &a, &w.now, NULL), MSUB_ERR_CRYPTO);
  a = author_of(k);
  a.sign = NULL;
  cr_expect_eq(msub_publish_as(w.e, t, msub_str("x"), &a, &w.now, NULL), MSUB_ERR_INVAL, "nothing to sign with");
  cr_expect_eq(msub_publish_as(w.e, authored, msub_str("x"), &a, &w.now, NULL), MSUB_OK, "where nothing is signed none is needed");
  cr_expect_eq(msub_publish_as(w.e, anonymous, msub_str("x"), &a, &w.now, NULL), MSUB_ERR_INVAL);
  a = author_of(k);
  a.id = (msub_bytes){ NULL, 0 };
  cr_expect_eq(msub_publish_as(w.e, t, msub_str("x"), &a, &w.now, NULL), MSUB_ERR_INVAL, "a key without an id");
  a.id = msub_str("no id");
  cr_expect_eq(msub_publish_as(w.e, t, msub_str("x"), &a, &w.now, NULL), MSUB_ERR_INVAL);
  msub_author_init(&a);
  a.numbered = true;
  cr_expect_eq(msub_publish_as(w.e, anonymous, msub_str("x"), &a, &w.now, NULL), MSUB_ERR_INVAL);
  msub_author_init(&a);
  cr_expect_eq(msub_publish_as(w.e, anonymous, msub_str("x"), &a, &w.now, NULL), MSUB_OK, "nothing asked for");
  a.size--;
  cr_expect_eq(msub_publish_as(w.e, t, msub_str("x"), &a, &w.now, NULL), MSUB_ERR_INVAL);
  a = author_of(k);
  cr_expect_eq(msub_publish_as(w.e, (msub_topic){ 77 }, msub_str("x"), &a, &w.now, NULL), MSUB_ERR_STALE);
  cr_expect_eq(msub_publish_as(w.e, t, msub_str("x"), &a, NULL, NULL), MSUB_ERR_STATE);
  static const int answers[] = { MSUB_ERR_IO, 0, 2000 };
  for (unsigned i = 0; i < 3; i++) {
    int answer = answers[i];
    a.sign = refuses;
    a.sign_ud = &answer;
    cr_expect_eq(msub_publish_as(w.e, t, msub_str("x"), &a, &w.now, NULL), answer < 0 ? answer : MSUB_ERR_CRYPTO);
  }
  /* MSUB__AUTHOR_KEY */
  static uint8_t key[MSUB__AUTHOR_KEY + 1];
  for (size_t n = MSUB__AUTHOR_KEY - 1; n <= MSUB__AUTHOR_KEY + 1; n++) {
    a = author_of(k);
    a.key_field = (msub_bytes){ key, n };
    cr_expect_eq(msub_publish_as(w.e, t, msub_str("x"), &a, &w.now, NULL), n <= MSUB__AUTHOR_KEY ? MSUB_ERR_CRYPTO : MSUB_ERR_INVAL, "%zu", n);
  }
  world_stop(&w);
  msub_key_free(k);
  msub_key_free(other);
}

static msub_author deferred_author;
static msub_topic deferred_topic;
static void publish_more(world *ww, const msub_msg *m) {
  msub_token ticket = { 0 };
  if (msub_data(m).n != 1) return;
  cr_assert_eq(msub_publish_as(ww->e, deferred_topic, msub_str("from inside"), &deferred_author, NULL, &ticket), MSUB_OK);
  cr_assert_neq(ticket.v, 0);
}

Test(signing, another_author_from_a_callback) {
  msub_key *k = imported(RSA_PRIVATE);
  start(MSUB_STRICT_SIGN);
  deferred_topic = world_join(&w, "t", NULL);
  deferred_author = author_of(k);
  uint8_t id[64];
  memcpy(id, deferred_author.id.p, deferred_author.id.n);
  deferred_author.id.p = id;
  w.on_deliver = publish_more;
  cr_assert_eq(msub_publish(w.e, deferred_topic, msub_str("x"), &w.now, NULL), MSUB_OK);
  cr_assert_eq(w.n_delivered, 2);
  cr_assert(msub_bytes_eq(msub_from(w.delivered[1]), msub_key_peer_id(k)));
  cr_assert_eq(msub_signature_verify(msub_wire(w.delivered[1]), w.delivered[1]->wire_n), MSUB_ACCEPT);
  /* What fails later is told. */
  deferred_author.sign_ud = w.key;
  size_t before = w.n_results;
  cr_assert_eq(msub_publish(w.e, deferred_topic, msub_str("y"), &w.now, NULL), MSUB_OK);
  cr_assert_eq(w.n_results, before + 2);
  cr_assert_eq(w.results[before + 1].err, MSUB_ERR_CRYPTO);
  world_stop(&w);
  msub_key_free(k);
}

/* ---- numbers ---- */

static int fixed(void *ud, uint64_t *number) {
  int *answer = ud;
  *number = 42;
  return *answer;
}

Test(signing, a_counter_of_the_programs) {
  int answer = MSUB_OK;
  world_init(&w, 9);
  w.opts.signing.next_seqno = fixed;
  w.opts.signing.seqno_ud = &answer;
  world_start(&w, NULL);
  msub_topic t = world_join(&w, "t", NULL);
  cr_assert_eq(msub_publish(w.e, t, msub_str("x"), &w.now, NULL), MSUB_OK);
  cr_assert_eq(msub_seqno(w.delivered[0]).p[7], 42);
  answer = MSUB_ERR_LIMIT;
  cr_assert_eq(msub_publish(w.e, t, msub_str("y"), &w.now, NULL), MSUB_ERR_LIMIT);
  answer = 5;
  cr_assert_eq(msub_publish(w.e, t, msub_str("y"), &w.now, NULL), MSUB_ERR_INVAL);
  cr_assert_eq(msub_count(w.e)->faults, 1);
  world_stop(&w);
}

static msub_store_memory *disk;
static msub_numbers *counter;
static void told(void *ud, msub_token token, int result) {
  (void)ud;
  cr_assert(msub_numbers_durable(counter, token, result));
}
static int open_counter(const msub_now *now, uint32_t block) {
  msub_numbers_opts o;
  msub_numbers_opts_init(&o);
  o.store = msub_store_memory_store(disk);
  o.block = block;
  int rc = msub_numbers_new(&o, now, &counter);
  if (rc == MSUB_OK) o.store.ops->listen(o.store.s, told, NULL);
  return rc;
}
static void turn(const msub_now *now) {
  msub_store s = msub_store_memory_store(disk);
  s.ops->turn(s.s, now);
}

/* The process is killed at every point, again and again, also with its clock set back: no number comes twice, and they only ascend. */
Test(signing, numbers_outlive_the_process) {
  msub_store_memory_opts o;
  msub_store_memory_opts_init(&o);
  msub_now now = { 1000, 5000 };
  cr_assert_eq(msub_store_memory_new(&o, &now, &disk), MSUB_OK);
  uint64_t highest = 0;
  for (unsigned life = 0; life < 200; life++) {
    now.wall_ns = life % 3 == 2 ? 4000 : 5000 + life;
    cr_assert_eq(open_counter(&now, 8), MSUB_OK);
    uint64_t n;
    cr_assert_eq(msub_numbers_next(counter, &n), MSUB_ERR_LIMIT, "nothing is reserved yet");
    for (unsigned step = 0; step < life % 29; step++) {
      now.mono_ns++;
      if ((step * 7 + life) % 3 == 0) turn(&now);
      int rc = msub_numbers_next(counter, &n);
      if (rc == MSUB_OK) {
        cr_assert_gt(n, highest, "life %u, step %u", life, step);
        highest = n;
      } else
        cr_assert_eq(rc, MSUB_ERR_LIMIT);
    }
    msub_store_memory *after;
    cr_assert_eq(msub_store_memory_crashed(disk, &after), MSUB_OK);
    msub_numbers_free(counter);
    msub_store_memory_free(disk);
    disk = after;
  }
  cr_assert_gt(highest, 1000 + 5000);
  msub_store_memory_free(disk);
}

Test(signing, numbers_and_a_bad_disk) {
  msub_store_memory_opts o;
  msub_store_memory_opts_init(&o);
  msub_now now = { 1000, 5000 };
  uint64_t n;
  cr_assert_eq(msub_store_memory_new(&o, &now, &disk), MSUB_OK);
  cr_assert_eq(open_counter(&now, 1), MSUB_ERR_INVAL);
  cr_assert_eq(open_counter(&now, (1u << 24) + 1), MSUB_ERR_INVAL);
  cr_assert_eq(open_counter(&now, 4), MSUB_OK);
  turn(&now);
  cr_assert_eq(msub_numbers_left(counter), 4);
  msub_store_memory_hang(disk, true);
  for (unsigned i = 0; i < 4; i++) cr_assert_eq(msub_numbers_next(counter, &n), MSUB_OK);
  cr_assert_eq(n, 5004);
  turn(&now);
  cr_assert_eq(msub_numbers_next(counter, &n), MSUB_ERR_LIMIT, "the disk does not answer");
  msub_store_memory_hang(disk, false);
  turn(&now);
  cr_assert_eq(msub_numbers_next(counter, &n), MSUB_OK);
  cr_assert_eq(n, 5005);
  /* A block that could not be written is asked for again. */
  while (msub_numbers_left(counter) > 3) cr_assert_eq(msub_numbers_next(counter, &n), MSUB_OK);
  msub_store_memory_fail(disk, 0, MSUB_ERR_IO);
  while (msub_numbers_next(counter, &n) == MSUB_OK) {}
  turn(&now);
  cr_assert_eq(msub_numbers_next(counter, &n), MSUB_ERR_LIMIT);
  turn(&now);
  msub_store_memory_fail(disk, 0, MSUB_OK);
  cr_assert_eq(msub_numbers_next(counter, &n), MSUB_ERR_LIMIT);
  turn(&now);
  cr_assert_eq(msub_numbers_next(counter, &n), MSUB_OK);
  cr_assert_eq(n, 5009);
  cr_assert_not(msub_numbers_durable(counter, (msub_token){ 1 }, MSUB_OK), "another's token");
  msub_numbers_free(counter);
  /* What stands in the store. */
  static const struct { msub_bytes value; int rc; } stored[] = {
    { { (const uint8_t *)"1234567", 7 }, MSUB_ERR_MALFORMED },
    { { (const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff", 8 }, MSUB_OK },
  };
  for (unsigned i = 0; i < 2; i++) {
    msub_store s = msub_store_memory_store(disk);
    msub_store_op op = { true, msub_str("msub/seqno"), stored[i].value };
    s.ops->listen(s.s, NULL, NULL);
    cr_assert_eq(s.ops->submit(s.s, &op, 1, (msub_token){ 5 }), MSUB_OK);
    turn(&now);
    cr_assert_eq(open_counter(&now, 4), stored[i].rc);
    if (stored[i].rc != MSUB_OK) continue;
    turn(&now);
    cr_assert_eq(msub_numbers_next(counter, &n), MSUB_ERR_LIMIT, "the numbers are used up");
    msub_numbers_free(counter);
  }
  msub_numbers_free(NULL);
  msub_store_memory_free(disk);
}
