/* Private keys in files: what "meshsub key" and "meshsub ipns key" share. */
#ifndef CLI_KEY_FILE_H
#define CLI_KEY_FILE_H
#include "cli/options.h"
#include <meshsub/crypto.h>

#define KEY_BYTES_MAX 16384u /* of a key in any form: PEM of 8,192 bits fits */
#define KEY_BITS 3072u       /* of a new RSA key */

#define KEY_TYPE_OPTIONS(type, bits)                                                                                \
  { "--type", 0, OPT_TEXT, "TYPE", "ed25519 (default), secp256k1, ecdsa (P-256) or rsa.", type, 0, 0, NULL },       \
  { "--bits", 0, OPT_NUMBER, "N", "Of an RSA key, 2048 to 8192. Default 3072; peers that know\nno better take 4096 at most.", bits, \
    MSUB_RSA_BITS_MIN, MSUB_RSA_BITS_MAX, NULL }

const char *key_type_name(msub_key_type type); /* "ed25519" */
bool key_type_named(const char *name, msub_key_type *out);
/* Of --type; NULL: Ed25519. -1, or EXIT_USAGE with the error said. */
int key_type_option(const command *c, const char *name, msub_key_type *out);
/* A new one. -1, or an exit code with the error said. */
int key_make(const char *program, msub_key_type type, unsigned bits, msub_key **out);
/* A new file, never an old one, mode 0600; all of it on the disk or no file at all. EXIT_OK, or an exit code with the error said. */
int key_write(const command *c, const char *file, const uint8_t *bytes, size_t n);
bool key_write_fd(int fd, const uint8_t *p, size_t n);
/* The first line of the file, into `out`; NULL: none, *n = 0. -1, or an exit code with the error said. */
int key_passphrase(const command *c, const char *file, uint8_t *out, size_t cap, size_t *n);
/* A key of PEM. -1, or an exit code with the error said; `what`: the file. */
int key_of_pem(const command *c, const char *what, msub_bytes pem, msub_bytes passphrase, msub_key **out);

#endif
