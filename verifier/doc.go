// Package verifier is the client side of TUF, The Update Framework, specification 1.0.34: it decides which metadata
// and which target files a device may trust.
//
// It is trust rules and their order, and nothing else: no I/O, clock, goroutine, log or randomness. A Refresh and a
// Search are conversations. Each says which one document it wants next, from the device's own store or from
// the repository; is answered with bytes, with "absent" or with "could not be had"; and answers with a Change to
// commit, or with an error and the old state. So a refresh can be driven by any fetcher and store, simulated,
// and cut off between any two steps.
//
// What it promises:
//
//   - Nothing that is not signed by its threshold of keys is accepted, and nothing older than what was: not across
//     restarts, and with floors not even across the loss of the database.
//   - What was verified before a later failure stays accepted. Every failure leaves a state from which the next
//     refresh can go on: honest metadata is always accepted again.
//   - Nothing new costs two requests, no write, and no look into a large file. A look-up in an unchanged large file reads
//     it and compares its hash with the signed snapshot's, but checks no signature again.
//   - No input makes it panic. Every refusal is a *MetadataError that names the document, the check with its
//     section of the specification, what was expected and what came.
//
// # Reading order
//
// request.go is the conversation; refresh.go, root.go, timestamp.go, snapshot.go and targets.go are the client
// workflow in its order; search.go goes through delegations; floors.go is what outlives the database. document.go and
// roles.go read files, threshold.go and keys.go check signatures, receipt.go spares them, target.go checks images.
//
// # Decisions
//
//   - Key IDs are opaque (TAP 12): real repositories carry key IDs that are not the hash of their key. A threshold
//     counts different public keys, however often and under whatever ID one is listed.
//   - A key of an unknown type or scheme, or one that can't be parsed, is merely unusable.
//   - A stored snapshot or targets file that has expired is asked for again, even if the version is the same.
//   - A timestamp of an equal version keeps the stored one, and the refresh goes on with it.
//   - When the bound of new roots is reached, the refresh goes on with the last one and says so.
//   - A role is searched once in each search, under the delegator that comes first (TUF 5.6.7).
package verifier
