// Package rights is what a person may ask of a box, as changes of the store: to be
// asked before his face is taken, to take that back, to be erased with a receipt,
// to be kept no longer than is needed, and to pass without a face.
//
//	c, err := rights.Give(tx, rights.Agreement{Merchant: m, Person: p, Text: text, Through: store.ThroughKiosk})
//	w, err := rights.Withdraw(tx, rights.Withdrawal{Merchant: m, Person: p, KeepPerson: true})
//
// Everything here runs in a transaction of the caller, so that a change and its
// event are one.
//
// It checks no permissions and speaks no HTTP. What it says about consent is how
// the box behaves; whether that suffices in a country is for a lawyer to say.
package rights
