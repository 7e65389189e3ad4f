// Command cypherface-central is where boxes meet: they join it with a claim code,
// send it what happened, and have the people, doors and grants of their site from
// it. It serves the same API as a box, over the same store.
//
//	cypherface-central --data DIR --listen ADDRESS [--config FILE]
//	cypherface-central claim --site door-7
//	cypherface-central devices
//	cypherface-central keys create --fleet --site door-7
//	cypherface-central policy
//	cypherface-central bench --json
//
// The first start makes a sandbox merchant and prints its key.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/cypherface/edge/internal/daemon"
)

func main() {
	known, err := runCommand(context.Background(), os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cypherface-central:", err)
		os.Exit(1)
	}
	if !known {
		daemon.Main(daemon.Central)
	}
}
