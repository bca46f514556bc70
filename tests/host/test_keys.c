/* tests/host/test_keys.c: identities of every type, and hosts that do not take all of them. usage: test_keys CASE */
#include <string.h>
#include "host_node.h"

static node a, b;
#define BOTH(cond) UNTIL(turn_for((node *const[]){ &a, &b }, 2, 1), cond)

static void begin(msub_key_type type, unsigned bits, unsigned taken, unsigned rsa_bits) {
  node_init(&a, "a", 1);
  node_init(&b, "b", 2);
  msub_key_free(b.key);
  MUST(msub_key_generate_type(type, bits, &b.key));
  b.opts.key = b.key;
  a.opts.key_types = taken;
  a.opts.rsa_bits = rsa_bits;
  a.opts.engine.sign = b.opts.engine.sign = MSUB_STRICT_SIGN;
  node_start(&a, true, true);
  node_start(&b, true, true);
}
static void end(void) {
  node_free(&a);
  node_free(&b);
}

/* Both directions of the handshake, then a signed message each way. */
static void test_types(void) {
  for (int t = MSUB_KEY_RSA; t <= MSUB_KEY_ECDSA; t++) {
    for (unsigned dials = 0; dials < 2; dials++) {
      begin((msub_key_type)t, 2048, 0, 0);
      if (dials) node_dial(&b, &a);
      else node_dial(&a, &b);
      BOTH(a.joins > 0 && b.joins > 0);
      CHECK(node_publish(&a, 1, 100) && node_publish(&b, 2, 100));
      BOTH(a.messages == 1 && b.messages == 1);
      CHECK(a.seen[2] == 1 && b.seen[1] == 1);
      end();
    }
  }
}

static void refused(void) {
  node_dial(&a, &b);
  BOTH(a.dial_failed == 1);
  CHECK(a.dial_err == MSUB_ERR_UNSUPPORTED && strstr(a.text, "not taken here"));
  node_dial(&b, &a);
  BOTH(b.disconnected > 0 || b.dial_failed > 0);
  CHECK(a.connected == 0);
  /* nobody is to blame: it may try again and again */
  for (unsigned i = 0; i < 20; i++) {
    unsigned before = a.dial_failed;
    node_dial(&a, &b);
    BOTH(a.dial_failed == before + 1);
    CHECK(a.dial_err == MSUB_ERR_UNSUPPORTED);
  }
}

static void test_not_taken(void) {
  for (int t = MSUB_KEY_SECP256K1; t <= MSUB_KEY_ECDSA; t++) {
    begin((msub_key_type)t, 0, 1u << MSUB_KEY_ED25519 | 1u << MSUB_KEY_RSA, 0);
    refused();
    end();
  }
  begin(MSUB_KEY_SECP256K1, 0, 1u << MSUB_KEY_SECP256K1, 0);
  node_dial(&a, &b);
  BOTH(a.connected == 1);
  end();
}

/* N-06: one below, at and one above the length that is taken; what is over it is not verified. */
static void test_rsa_bits(void) {
  static const struct { unsigned bits; bool taken; } rows[] = { { 2048, true }, { 2304, true }, { 2560, false } };
  for (unsigned i = 0; i < 3; i++) {
    begin(MSUB_KEY_RSA, rows[i].bits, 0, 2304);
    if (rows[i].taken) {
      node_dial(&a, &b);
      BOTH(a.connected == 1 && b.connected == 1);
    } else {
      refused();
    }
    end();
  }
}

static void test_options(void) {
  static const struct { unsigned types, bits; bool good; } rows[] = { { 15, 0, true },    { 16, 0, false },   { 0, 2047, false },
                                                                      { 0, 2048, true }, { 0, 8192, true }, { 0, 8193, false } };
  for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char *why = NULL;
    node_init(&a, "a", 1);
    a.opts.key_types = rows[i].types;
    a.opts.rsa_bits = rows[i].bits;
    CHECK(msub_host_new(&a.opts, &a.host, &why) == (rows[i].good ? MSUB_OK : MSUB_ERR_INVAL) && (rows[i].good == !why));
    if (!rows[i].good) a.host = NULL;
    node_free(&a);
  }
}

int main(int argc, char **argv) {
  static const test_case cases[] = { { "types", test_types }, { "not_taken", test_not_taken }, { "rsa_bits", test_rsa_bits }, { "options", test_options } };
  return node_run_cases(cases, sizeof cases / sizeof *cases, argc, argv);
}
