/*
 * Keys in and out of PEM and DER. Private text lives in secret buffers and in
 * libcrypto's clearing memory only; a private file is refused when others can
 * read it, and made so that they cannot.
 */
#include "crypto/internal.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <string.h>

#define KEY_FILE_MAX (64 * 1024)
/* OWASP's figure for PBKDF2-HMAC-SHA-256; a quarter of a second once per command. OpenSSL's default is 2048. */
#define PBKDF2_ROUNDS 600000
#define SALT_SIZE 16

static enum iot_status read_secret_file(void *context, const char *subject, struct iot_buf *secret,
					struct iot_error *err)
{
	const char *path = context;
	enum iot_status status = iot_fs_check_private(path, err);
	char *newline;

	if (status == IOT_OK)
		status = iot_fs_read(path, secret, err);
	if (status != IOT_OK) {
		iot_error_while(err, "reading the %s", subject);
		return status;
	}
	newline = secret->len > 0 ? memchr(secret->data, '\n', secret->len) : NULL;
	if (newline != NULL) {
		if (newline > secret->data && newline[-1] == '\r')
			newline--;
		iot_wipe(newline, secret->len - (size_t)(newline - secret->data));
		secret->len = (size_t)(newline - secret->data);
	}
	return IOT_OK;
}

struct iot_secret_source iot_secret_from_file(const char *path)
{
	struct iot_secret_source source = {read_secret_file, NULL};

	memcpy(&source.context, &path, sizeof(path)); /* only read_secret_file looks at it, as const */
	return source;
}

enum iot_status iot_secret_read(const struct iot_secret_source *source, const char *subject, struct iot_buf *secret,
				struct iot_error *err)
{
	enum iot_status status = source->read(source->context, subject, secret, err);

	if (status == IOT_OK && (secret->over || secret->len > IOT_SECRET_MAX))
		status = iot_fail(err, IOT_USAGE, "the %s is longer than %d bytes", subject, IOT_SECRET_MAX);
	if (status == IOT_OK && secret->len == 0)
		status = iot_fail(err, IOT_USAGE, "the %s is empty", subject);
	return status;
}

struct unlock {
	const struct iot_secret_source *source;
	const char *subject;
	struct iot_error *err;
	enum iot_status status; /* of asking */
	bool asked;
};

/* pem_password_cb: called when the PEM turns out to be encrypted. */
static int give_passphrase(char *out, int size, int writing, void *context)
{
	struct unlock *unlock = context;
	struct iot_buf secret = IOT_BUF_SECRET(IOT_SECRET_MAX);
	int len = -1;

	(void)writing;
	unlock->asked = true;
	if (unlock->source == NULL)
		return -1;
	unlock->status = iot_secret_read(unlock->source, "passphrase of the key", &secret, unlock->err);
	if (unlock->status == IOT_OK && secret.len <= (size_t)size) {
		memcpy(out, secret.data, secret.len);
		len = (int)secret.len;
	}
	iot_buf_release(&secret);
	return len;
}

static bool holds(const char *text, size_t len, const char *part)
{
	return memmem(text, len, part, strlen(part)) != NULL;
}

static enum iot_status no_private_key(const struct unlock *unlock, const char *text, size_t len, struct iot_error *err)
{
	enum iot_status status;

	if (unlock->status != IOT_OK) {
		ERR_clear_error();
		return unlock->status; /* and err says why no passphrase came */
	}
	if (unlock->asked && unlock->source == NULL) {
		ERR_clear_error();
		status = iot_fail(err, IOT_DENIED, "the private key '%s' is encrypted", unlock->subject);
		iot_error_hint(err, "give a file that holds its passphrase");
		return status;
	}
	if (unlock->asked) {
		ERR_clear_error();
		return iot_fail(err, IOT_DENIED, "wrong passphrase for the private key '%s'", unlock->subject);
	}
	status = iot_ossl_fail(err, IOT_USAGE, "'%s' holds no readable private key in PEM", unlock->subject);
	if (holds(text, len, "-----BEGIN PUBLIC KEY") || holds(text, len, "-----BEGIN CERTIFICATE-"))
		iot_error_hint(err, "this is a public part; give the private key's file");
	else
		iot_error_hint(err, "PKCS#8, SEC1 or PKCS#1 in PEM is needed");
	return status;
}

enum iot_status iot_key_from_private_pem(const char *text, size_t len, const char *subject,
					 const struct iot_secret_source *passphrase, struct iot_key **ret,
					 struct iot_error *err)
{
	struct unlock unlock = {passphrase, subject, err, IOT_OK, false};
	IOT_CLEAN(iot_bio_free_p) BIO *bio = NULL;
	EVP_PKEY *pkey;

	if (len == 0 || len > KEY_FILE_MAX)
		return iot_fail(err, IOT_USAGE, "'%s' is %s for a private key", subject,
				len == 0 ? "empty" : "too large");
	bio = BIO_new_mem_buf(text, (int)len);
	pkey = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, &unlock) : NULL;
	if (pkey == NULL)
		return no_private_key(&unlock, text, len, err);
	ERR_clear_error(); /* the decoders leave their attempts behind */
	return iot_key_wrap(pkey, true, subject, ret, err);
}

enum iot_status iot_key_load(const char *path_or_uri, const struct iot_secret_source *passphrase, struct iot_key **ret,
			     struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_SECRET(KEY_FILE_MAX);
	enum iot_status status;

	if (iot_starts_with(path_or_uri, "pkcs11:"))
		return iot_pkcs11_load(path_or_uri, passphrase, ret, err);
	status = iot_fs_check_private(path_or_uri, err);
	if (status == IOT_OK)
		status = iot_fs_read(path_or_uri, &text, err);
	if (status == IOT_OK)
		status = iot_key_from_private_pem(text.data, text.len, path_or_uri, passphrase, ret, err);
	iot_buf_release(&text);
	return status;
}

static enum iot_status need_private(const struct iot_key *key, struct iot_error *err)
{
	if (!key->has_private)
		return iot_fail(err, IOT_USAGE, "this is a public key: it has no private part to write");
	if (key->token != NULL)
		return iot_fail(err, IOT_USAGE, "the private key is in a token and stays there");
	return IOT_OK;
}

/* The key as an encrypted PKCS#8 structure with our own number of rounds. */
static X509_SIG *encrypt_pkcs8(PKCS8_PRIV_KEY_INFO *plain, const struct iot_buf *secret)
{
	unsigned char salt[SALT_SIZE];

	iot_random(salt, sizeof(salt));
	return PKCS8_encrypt(-1, EVP_aes_256_cbc(), secret->data, (int)secret->len, salt, sizeof(salt), PBKDF2_ROUNDS,
			     plain);
}

/* PKCS#8 PEM, encrypted if a secret is given, into a secret buffer. */
static enum iot_status private_pem(const struct iot_key *key, const struct iot_buf *secret, struct iot_buf *out,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_bio_free_p) BIO *bio = BIO_new(BIO_s_secmem());
	PKCS8_PRIV_KEY_INFO *plain = EVP_PKEY2PKCS8(key->pkey);
	X509_SIG *sealed = NULL;
	int done = 0;

	out->secret = true;
	if (bio != NULL && plain != NULL && secret == NULL) {
		done = PEM_write_bio_PKCS8_PRIV_KEY_INFO(bio, plain);
	} else if (bio != NULL && plain != NULL) {
		sealed = encrypt_pkcs8(plain, secret);
		done = sealed != NULL && PEM_write_bio_PKCS8(bio, sealed);
	}
	X509_SIG_free(sealed);
	PKCS8_PRIV_KEY_INFO_free(plain);
	if (done != 1)
		return iot_ossl_fail(err, IOT_FAILURE, "cannot encode the private key");
	iot_ossl_bio_to_buf(bio, out);
	return iot_buf_check(out, "private key", err);
}

enum iot_status iot_key_private_pem(const struct iot_key *key, struct iot_buf *secret, struct iot_error *err)
{
	enum iot_status status = need_private(key, err);

	return status == IOT_OK ? private_pem(key, NULL, secret, err) : status;
}

enum iot_status iot_key_private_der(const struct iot_key *key, struct iot_buf *secret, struct iot_error *err)
{
	enum iot_status status = need_private(key, err);
	IOT_CLEAN(iot_bio_free_p) BIO *bio = status == IOT_OK ? BIO_new(BIO_s_secmem()) : NULL;
	PKCS8_PRIV_KEY_INFO *plain = bio != NULL ? EVP_PKEY2PKCS8(key->pkey) : NULL;
	int done = plain != NULL ? i2d_PKCS8_PRIV_KEY_INFO_bio(bio, plain) : 0;

	if (status != IOT_OK)
		return status;
	PKCS8_PRIV_KEY_INFO_free(plain);
	if (done != 1)
		return iot_ossl_fail(err, IOT_FAILURE, "cannot encode the private key");
	secret->secret = true;
	iot_ossl_bio_to_buf(bio, secret);
	return iot_buf_check(secret, "private key", err);
}

enum iot_status iot_key_save_new(const struct iot_key *key, const char *path,
				 const struct iot_secret_source *passphrase, struct iot_error *err)
{
	struct iot_buf secret = IOT_BUF_SECRET(IOT_SECRET_MAX);
	struct iot_buf pem = IOT_BUF_SECRET(KEY_FILE_MAX);
	enum iot_status status = need_private(key, err);

	if (status == IOT_OK && passphrase != NULL)
		status = iot_secret_read(passphrase, "passphrase for the new key", &secret, err);
	if (status == IOT_OK)
		status = private_pem(key, passphrase != NULL ? &secret : NULL, &pem, err);
	if (status == IOT_OK)
		status = iot_fs_create_private(path, pem.data, pem.len, err);
	iot_buf_release(&pem);
	iot_buf_release(&secret);
	return status;
}

enum iot_status iot_key_from_public_der(const void *der, size_t len, const char *subject, struct iot_key **ret,
					struct iot_error *err)
{
	const unsigned char *at = der;
	EVP_PKEY *pkey = len > 0 && len <= KEY_FILE_MAX ? d2i_PUBKEY(NULL, &at, (long)len) : NULL;

	if (pkey == NULL)
		return iot_ossl_fail(err, IOT_USAGE, "'%s' is not a public key (SubjectPublicKeyInfo)", subject);
	ERR_clear_error();
	if (at != (const unsigned char *)der + len) {
		EVP_PKEY_free(pkey);
		return iot_fail(err, IOT_USAGE, "'%s' has bytes behind the public key", subject);
	}
	return iot_key_wrap(pkey, false, subject, ret, err);
}

static enum iot_status key_of_cert(const char *text, size_t len, const char *subject, struct iot_key **ret,
				   struct iot_error *err)
{
	struct iot_cert *cert = NULL;
	enum iot_status status = iot_cert_parse_pem(text, len, subject, &cert, err);

	if (status == IOT_OK)
		*ret = iot_key_public_copy(iot_cert_key(cert));
	iot_cert_free(cert);
	return status;
}

enum iot_status iot_key_from_public_pem(const char *text, size_t len, const char *subject, struct iot_key **ret,
					struct iot_error *err)
{
	IOT_CLEAN(iot_bio_free_p) BIO *bio = len <= IOT_CERT_PEM_MAX ? BIO_new_mem_buf(text, (int)len) : NULL;
	char *name = NULL, *header = NULL;
	unsigned char *data = NULL;
	long data_len = 0;
	enum iot_status status;

	if (bio == NULL || PEM_read_bio(bio, &name, &header, &data, &data_len) != 1) {
		status = iot_ossl_fail(err, IOT_USAGE, "'%s' is not PEM", subject);
		iot_error_hint(err, "a PUBLIC KEY or a CERTIFICATE is needed");
		return status;
	}
	if (strcmp(name, PEM_STRING_PUBLIC) == 0) {
		status = iot_key_from_public_der(data, (size_t)data_len, subject, ret, err);
	} else if (strcmp(name, PEM_STRING_X509) == 0) {
		status = key_of_cert(text, len, subject, ret, err);
	} else {
		status = iot_fail(err, IOT_USAGE, "'%s' holds a %s, not a public key", subject, name);
		iot_error_hint(err, "a PUBLIC KEY or a CERTIFICATE is needed");
	}
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_clear_free(data, (size_t)data_len); /* it may have been a private key after all */
	return status;
}

enum iot_status iot_key_load_public(const char *path, struct iot_key **ret, struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_SECRET(IOT_CERT_PEM_MAX);
	enum iot_status status = iot_fs_read(path, &text, err);

	if (status == IOT_OK)
		status = iot_key_from_public_pem(iot_buf_str(&text), text.len, path, ret, err);
	iot_buf_release(&text);
	return status;
}

enum iot_status iot_key_public_pem(const struct iot_key *key, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_bio_free_p) BIO *bio = BIO_new(BIO_s_mem());

	if (bio == NULL || PEM_write_bio_PUBKEY(bio, key->pkey) != 1)
		return iot_ossl_fail(err, IOT_FAILURE, "cannot encode the public key");
	iot_ossl_bio_to_buf(bio, out);
	return iot_buf_check(out, "public key", err);
}

enum iot_status iot_key_public_der(const struct iot_key *key, struct iot_buf *out, struct iot_error *err)
{
	unsigned char *der = NULL;
	int len = i2d_PUBKEY(key->pkey, &der);

	if (len <= 0)
		return iot_ossl_fail(err, IOT_FAILURE, "cannot encode the public key");
	iot_buf_add(out, der, (size_t)len);
	OPENSSL_free(der);
	return iot_buf_check(out, "public key", err);
}
