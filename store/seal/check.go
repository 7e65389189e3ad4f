package seal

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"github.com/cypherface/edge/store"
)

// Check holds the two files of a keyring against each other, without its key. A
// running box writes them one after the other: they are looked at again before
// a difference counts.
func Check(path string) []store.Fault {
	var found []store.Fault
	for range 5 {
		if found = check(path); found == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return found
}

func check(path string) []store.Fault {
	paths := []string{path, path + mirrorSuffix}
	var content [2][]byte
	var broken [2]error
	for i, p := range paths {
		if content[i], broken[i] = os.ReadFile(p); broken[i] == nil {
			_, broken[i] = parseHeader(content[i])
		}
	}
	fault := func(where, what string) []store.Fault {
		return []store.Fault{{
			Part: store.PartKeyring, Where: where, What: what, Cost: "if the other one goes as well, nobody reads the data any more",
			Remedy: "the next start of the box makes it anew from the other",
		}}
	}
	switch {
	case broken[0] != nil && broken[1] != nil:
		return []store.Fault{{
			Part: store.PartKeyring, Where: path, What: fmt.Sprintf("neither it nor its mirror can be read: %v", broken[0]),
			Cost: "nobody reads the data any more", Remedy: "put back a keyring from a backup: cypherface store restore",
		}}
	case broken[0] != nil:
		return fault(paths[0], broken[0].Error())
	case broken[1] != nil:
		return fault(paths[1], broken[1].Error())
	case !bytes.Equal(content[0], content[1]):
		return fault(paths[1], "is not as the keyring is")
	}
	return nil
}
