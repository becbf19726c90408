// Package auth turns a token into a Principal: who somebody is, which company
// they belong to and which roles they have there.
//
// # From a token to a principal
//
// A Verifier checks a JSON Web Token and gives its Claims; a ClaimPaths says
// which claims become the Principal. Authenticator is the two together.
//
// What a token must satisfy is fixed, not left to the token:
//
//   - The key is found by the token's kid, and the algorithm is the key's. A
//     token with another algorithm is refused before its signature is looked at,
//     so a public key can't be used as an HMAC secret, and "none" has no key.
//     A token without a kid is accepted only where there is one key.
//   - iss, aud and exp are required and checked, nbf is honoured, with the
//     configured clock skew. All times are numbers of a believable size.
//   - A token longer than MaxBytes, one with a crit header, and one that is not
//     three parts of strict base64url is refused.
//   - Headers that bring or name keys (jwk, jku, x5c, x5u) are ignored.
//
// # Errors
//
// Every refusal is an *Error with CodeUnauthenticated and a message for the
// client. It never repeats any part of the token; the cause, for logs, is
// wrapped.
//
// # Keys
//
// Keys come through KeySource. Keys given in the configuration are a KeyRing; those
// that a URL gives, and changes, are a JWKS; a KeyChain is both, the configured
// ones first.
//
// Of a fetched set only what is fit to verify tokens becomes a Key: public, for
// signatures, of an accepted algorithm and of the kind and strength which that
// needs. Each Key has one algorithm, as a configured one has. The rest is ignored,
// and named in the log. A source that can't say whether a key exists gives an error
// that is no *Error: the token was not refused, it could not be checked.
//
// The one goroutine is JWKS.Run's caller, which fetches; a token that may need a
// fetch waits for it, 2 s at most. All values may be used by several goroutines at
// once.
package auth
