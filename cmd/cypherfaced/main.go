// Command cypherfaced is the box: it watches a camera, recognises people, keeps
// what it knows in its data folder, and answers over REST.
//
//	cypherfaced --data DIR --listen ADDRESS --camera URL [--config FILE]
//
// The first start makes a sandbox merchant and prints its key. The first signal
// to stop lets requests end, a second one does not wait.
package main

import "github.com/cypherface/edge/internal/daemon"

func main() { daemon.Main(daemon.Box) }
