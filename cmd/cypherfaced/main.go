// Command cypherfaced is the box: it watches a camera, recognises people, keeps
// what it knows in its data folder, and answers over REST.
//
//	cypherfaced --data DIR --listen ADDRESS --camera URL [--config FILE]
//
// The first start makes a sandbox merchant and prints its key. The first signal
// to stop lets requests end, a second one does not wait.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/cypherface/edge/engine/tflite"
)

func main() {
	if code, asked := tflite.ProbeMain(context.Background(), os.Args[1:], os.Stdout, os.Stderr); asked {
		os.Exit(code)
	}
	hideMemory(os.Stderr)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // from then on a signal does what it does by itself
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "cypherfaced:", err)
		os.Exit(1)
	}
}
