/* The private keys of a store, by label: "key/LABEL" holds a libp2p PrivateKey. "self" is the identity of the node that has the store. Keys are never
 * overwritten, and never printed but by an export into a file of mode 0600. */
#ifndef CLI_KEYRING_H
#define CLI_KEYRING_H
#include "cli/key_file.h"
#include <meshsub/store.h>

#define KEYRING_PREFIX "key/"
#define KEYRING_SELF "self"
#define KEYRING_KEYS 1000u /* of a store: as many as names.h signs anew */
#define KEYRING_LABEL 64u  /* bytes */

typedef struct keyring keyring;
typedef struct keyring_key {
  char label[KEYRING_LABEL + 1];
  msub_key *key;
  bool durable; /* the store has it for good */
} keyring_key;

/* Reads all keys of the store, which outlives it; what cannot be read is said and left out. `option`: "--store DIR", for what is said. */
keyring *keyring_open(const char *program, msub_store store);
void keyring_close(keyring *k); /* wipes; NULL is fine */
/* The i-th by label; NULL: past the end. Valid until the next add. */
const keyring_key *keyring_at(const keyring *k, size_t i);
/* By label, or by name in any form, with or without "/ipns/". NULL: there is none. */
const keyring_key *keyring_find(const keyring *k, const char *label_or_name);
/* What is wrong with a label; NULL: nothing. */
const char *keyring_label_wrong(const char *label);
/* Adds a key, which is the keyring's when the answer is OK; done is then called once, by keyring_durable(), and the key is found from that moment on (when
 * the result is OK). CLAIMED: label or key are there already; LIMIT; INVAL: the label; what the store answers. why: in words. */
typedef void (*keyring_done)(void *ud, int result, const keyring_key *key);
int keyring_add(keyring *k, const char *label, msub_key *key, keyring_done done, void *ud, char why[160]);
/* From the store's listener. true: the token was ours. */
bool keyring_durable(keyring *k, msub_token token, int result);
/* The identity: that of the store, which gets a new one when it has none. -1 and a copy, or an exit code with the error said. */
int keyring_identity(keyring *k, const char *program, msub_key **out);
/* What "self" is as long as this keyring is open: another identity than the store's. Copies. */
void keyring_be(keyring *k, const msub_key *key);
msub_key *key_copy(const msub_key *key);

#endif
