#include "cli/keyring.h"
#include <meshsub/ipns.h>
#include <stdlib.h>
#include <string.h>

#define TOKENS (UINT64_C(0x6b6579) << 40) /* of ours: no other has such a number */

typedef struct entry {
  keyring_key k;
  uint64_t token; /* 0: nothing is waited for */
  bool usable;    /* found and listed: durable, or of this process alone */
  bool borrowed;  /* "self" of keyring_be(): not in the store */
  keyring_done done;
  void *ud;
} entry;

struct keyring {
  msub_store store;
  entry *entries; /* by label */
  size_t n;
  uint64_t token;
};

static entry *named(const keyring *k, const char *label) {
  for (size_t i = 0; i < k->n; i++)
    if (strcmp(k->entries[i].k.label, label) == 0) return &k->entries[i];
  return NULL;
}

static entry *insert(keyring *k, const char *label, msub_key *key) {
  size_t at = 0;
  k->entries = grow(k->entries, k->n + 1, sizeof *k->entries);
  while (at < k->n && strcmp(k->entries[at].k.label, label) < 0) at++;
  memmove(&k->entries[at + 1], &k->entries[at], (k->n - at) * sizeof *k->entries);
  k->n++;
  k->entries[at] = (entry){ .k.key = key };
  snprintf(k->entries[at].k.label, sizeof k->entries[at].k.label, "%s", label);
  return &k->entries[at];
}

static void take_out(keyring *k, size_t i) {
  msub_key_free(k->entries[i].k.key);
  memmove(&k->entries[i], &k->entries[i + 1], (--k->n - i) * sizeof *k->entries);
}

const char *keyring_label_wrong(const char *label) {
  msub_peer_id id;
  size_t n = strlen(label);
  if (n == 0 || n > KEYRING_LABEL) return "a label has 1 to 64 characters";
  for (size_t i = 0; i < n; i++) {
    char c = label[i];
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || (i > 0 && (c == '.' || c == '-'));
    if (!plain) return "a label is of letters, digits, \"_\" and, not at its begin, \".\" and \"-\"";
  }
  return msub_ipns_name_parse(label, &id) == MSUB_OK ? "a label that is a name could be taken for one" : NULL;
}

/* ---- reading ---- */

typedef struct reading {
  keyring *k;
  const char *program;
} reading;

static bool read_one(void *ud, msub_bytes key, msub_bytes value) {
  const reading *r = ud;
  char label[KEYRING_LABEL + 1];
  size_t n = key.n - strlen(KEYRING_PREFIX);
  msub_key *found = NULL;
  if (n > KEYRING_LABEL || r->k->n == KEYRING_KEYS) return true;
  memcpy(label, key.p + strlen(KEYRING_PREFIX), n);
  label[n] = 0;
  int err = strlen(label) == n && !keyring_label_wrong(label) ? msub_key_import(value, &found) : MSUB_ERR_MALFORMED;
  if (err != MSUB_OK) {
    say_error(r->program, "--store: the key %s in it cannot be used: %s; it is left alone", quoted_bytes((msub_bytes){ key.p + strlen(KEYRING_PREFIX), n }),
              msub_err_text(err));
    return true;
  }
  entry *e = insert(r->k, label, found);
  e->usable = e->k.durable = true;
  return true;
}

keyring *keyring_open(const char *program, msub_store store) {
  keyring *k = take(sizeof *k);
  *k = (keyring){ .store = store };
  reading r = { k, program };
  if (store.ops->iterate(store.s, msub_str(KEYRING_PREFIX), read_one, &r) != MSUB_OK)
    say_error(program, "--store: some of its keys could not be read; \"meshsub store check\" says what is wrong");
  return k;
}

void keyring_close(keyring *k) {
  if (!k) return;
  for (size_t i = 0; i < k->n; i++) msub_key_free(k->entries[i].k.key);
  free(k->entries);
  free(k);
}

const keyring_key *keyring_at(const keyring *k, size_t i) {
  for (size_t at = 0; at < k->n; at++)
    if (k->entries[at].usable && i-- == 0) return &k->entries[at].k;
  return NULL;
}

const keyring_key *keyring_find(const keyring *k, const char *label_or_name) {
  msub_peer_id id;
  const entry *e = named(k, label_or_name);
  if (e) return e->usable ? &e->k : NULL;
  if (msub_ipns_name_parse(label_or_name, &id) != MSUB_OK) return NULL;
  for (size_t i = 0; i < k->n; i++)
    if (k->entries[i].usable && msub_bytes_eq(msub_key_peer_id(k->entries[i].k.key), msub_peer_id_bytes(&id))) return &k->entries[i].k;
  return NULL;
}

/* ---- writing ---- */

int keyring_add(keyring *k, const char *label, msub_key *key, keyring_done done, void *ud, char why[160]) {
  const char *wrong = keyring_label_wrong(label);
  uint8_t bytes[KEY_BYTES_MAX];
  char name[sizeof KEYRING_PREFIX + KEYRING_LABEL];
  *why = 0;
  if (wrong) return snprintf(why, 160, "%s", wrong), MSUB_ERR_INVAL;
  if (named(k, label)) return snprintf(why, 160, "there is a key %s already, and a key is never overwritten; choose another label", label), MSUB_ERR_CLAIMED;
  for (size_t i = 0; i < k->n; i++)
    if (!k->entries[i].borrowed && msub_bytes_eq(msub_key_peer_id(k->entries[i].k.key), msub_key_peer_id(key)))
      return snprintf(why, 160, "this key is there already, as %s", k->entries[i].k.label), MSUB_ERR_CLAIMED;
  if (k->n >= KEYRING_KEYS) return snprintf(why, 160, "a store has at most %u keys", KEYRING_KEYS), MSUB_ERR_LIMIT;
  size_t n = msub_key_export(key, bytes, sizeof bytes);
  snprintf(name, sizeof name, KEYRING_PREFIX "%s", label);
  msub_token token = { TOKENS + ++k->token };
  const msub_store_op op = { true, msub_str(name), { bytes, n } };
  int err = n && n <= sizeof bytes ? k->store.ops->submit(k->store.s, &op, 1, token) : MSUB_ERR_INVAL;
  explicit_bzero(bytes, sizeof bytes);
  if (err != MSUB_OK) return snprintf(why, 160, "the store does not take it: %s", msub_err_text(err)), err;
  entry *e = insert(k, label, key);
  e->token = token.v;
  e->done = done;
  e->ud = ud;
  return MSUB_OK;
}

bool keyring_durable(keyring *k, msub_token token, int result) {
  for (size_t i = 0; k && i < k->n; i++) {
    entry *e = &k->entries[i];
    if (e->token == 0 || e->token != token.v) continue;
    keyring_done done = e->done;
    void *ud = e->ud;
    bool used = e->usable; /* the identity: it stays what it is as long as the process runs */
    e->token = 0;
    e->k.durable = result == MSUB_OK;
    e->usable = used || e->k.durable;
    if (done) done(ud, result, &e->k);
    if (!e->usable) take_out(k, i);
    return true;
  }
  return false;
}

msub_key *key_copy(const msub_key *key) {
  uint8_t bytes[KEY_BYTES_MAX];
  msub_key *copy = NULL;
  size_t n = msub_key_export(key, bytes, sizeof bytes);
  if (n <= sizeof bytes) (void)msub_key_import((msub_bytes){ bytes, n }, &copy);
  explicit_bzero(bytes, sizeof bytes);
  return copy;
}

int keyring_identity(keyring *k, const char *program, msub_key **out) {
  char why[160] = "";
  entry *e = named(k, KEYRING_SELF);
  if (!e) {
    msub_key *key;
    int code = key_make(program, MSUB_KEY_ED25519, 0, &key);
    if (code >= 0) return code;
    if (keyring_add(k, KEYRING_SELF, key, NULL, NULL, why) != MSUB_OK) {
      msub_key_free(key);
      say_error(program, "--store: the identity cannot be kept: %s", why);
      return EXIT_FAILED;
    }
    e = named(k, KEYRING_SELF);
    if (e) e->usable = true; /* it is this process's identity in any case */
  }
  *out = e ? key_copy(e->k.key) : NULL;
  if (*out) return -1;
  say_error(program, "out of memory");
  return EXIT_FAILED;
}

void keyring_be(keyring *k, const msub_key *key) {
  msub_key *copy = key_copy(key);
  entry *e = named(k, KEYRING_SELF);
  if (!copy || (e && msub_bytes_eq(msub_key_peer_id(e->k.key), msub_key_peer_id(key)))) {
    msub_key_free(copy);
    return;
  }
  if (e) {
    msub_key_free(e->k.key);
    e->k.key = copy;
  } else {
    e = insert(k, KEYRING_SELF, copy);
  }
  e->usable = e->borrowed = true;
  e->k.durable = false;
}
