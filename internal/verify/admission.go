package verify

import "github.com/cypherface/edge/store"

// Admission is why a person may not pass a door at the time of the transaction, in
// the words of the reasons above; empty where he may. It is what Run asks about a
// face, for those who come by another way.
func Admission(tx *store.Tx, door store.Door, p store.PersonID) (refusal string, err error) {
	return admission(tx, door, p)
}
