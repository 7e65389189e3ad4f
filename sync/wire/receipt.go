package wire

import (
	"crypto/ed25519"
	"fmt"
)

// ReceiptText is what a box signs when it has erased a person: that its journal
// has the erasure as event seq of an epoch. All are ids; the text may be shown.
func ReceiptText(device string, epoch, seq uint64, person string) []byte {
	return fmt.Appendf(nil, "cypherface erasure receipt 1\ndevice %s\nevent %d.%d\nperson %s\n", device, epoch, seq, person)
}

// SignReceipt signs the receipt of an erasure. The same receipt signed again is
// the same bytes: a box need not keep it.
func SignReceipt(key ed25519.PrivateKey, device string, epoch, seq uint64, person string) []byte {
	return ed25519.Sign(key, ReceiptText(device, epoch, seq, person))
}

// VerifyReceipt says whether a receipt is of the box with this key.
func VerifyReceipt(key ed25519.PublicKey, receipt []byte, device string, epoch, seq uint64, person string) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, ReceiptText(device, epoch, seq, person), receipt)
}
