package daemon

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cypherface/edge/camera/fusecam"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// childWord makes this test program a daemon, so that its memory is that of a
// daemon.
const childWord = "be-the-daemon"

func TestMain(m *testing.M) {
	fusecam.Main()
	if code, asked := tflite.ProbeMain(context.Background(), os.Args[1:], os.Stdout, os.Stderr); asked {
		os.Exit(code) // a pack that is not known is tried in a child
	}
	for word, program := range map[string]Program{childWord: Box, centralWord: Central} {
		if len(os.Args) > 1 && os.Args[1] == word {
			os.Args = append(os.Args[:1], os.Args[2:]...)
			Main(program)
			return
		}
	}
	os.Exit(m.Run())
}

const (
	crowdSize = 10_000
	rssLimit  = 150 << 20 // with pack standard
	// The networks of pack basic are so much larger (cypherface models memory).
	rssBasic = 46 << 20
)

// crowd fills a store with people of random templates.
func crowd(t *testing.T, dir string, n int) {
	t.Helper()
	pack, err := models.Default(packs)
	if err != nil {
		t.Fatal(err)
	}
	shape := pack.Networks[models.Embed].Outputs[0].Shape
	dim := 1
	for _, d := range shape {
		dim *= d
	}
	s, err := bolt.Open(bolt.Path(dir, store.Sandbox), bolt.Options{Environment: store.Sandbox, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	m := store.Merchant{ID: store.NewID[store.MerchantID](time.Now()), Name: "Crowd", Status: store.Active}
	for done := 0; done < n; done += 500 {
		err := s.Update(context.Background(), systemCause, func(tx *store.Tx) error {
			if done == 0 {
				if err := store.Put(tx, &m); err != nil {
					return err
				}
			}
			for i := range 500 {
				if err := putPerson(tx, m.ID, done+i, pack.Space, randomUnit(rng, dim)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func putPerson(tx *store.Tx, m store.MerchantID, n int, space string, v []float32) error {
	p := store.Person{
		ID: store.NewID[store.PersonID](time.Now()), Merchant: m, Firstname: "Person", Lastname: strconv.Itoa(n),
		Email: fmt.Sprintf("p%d@example.org", n), Status: store.PersonEnrolled,
	}
	if err := store.Put(tx, &p); err != nil {
		return err
	}
	return store.Put(tx, &store.Template{
		ID: store.NewTemplateID(p.ID, space), Merchant: m, Person: p.ID, Space: space, Crops: 1, Vector: v,
	})
}

func randomUnit(rng *rand.Rand, dim int) []float32 {
	v := make([]float32, dim)
	var sum float64
	for i := range v {
		x := rng.NormFloat64()
		v[i], sum = float32(x), sum+x*x
	}
	for i := range v {
		v[i] /= float32(math.Sqrt(sum))
	}
	return v
}

// An idle box that knows 10,000 people and looks through the demo camera fits
// into a small machine.
func TestMemoryOfAnIdleBoxWithTenThousandPeople(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a store with 10,000 people")
	}
	needNetworks(t)
	dir := shortDir(t)
	crowd(t, dir, crowdSize)
	start := time.Now()
	cmd, url := startChild(t, "--data", dir, "--camera", "file:"+mate+"?fps=5")
	t.Logf("ready after %v", time.Since(start))
	time.Sleep(5 * time.Second) // frames go through, garbage is collected
	rss := residentBytes(t, cmd.Process.Pid)
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body) // what is missing is missed below
	resp.Body.Close()
	if !strings.Contains(string(body), fmt.Sprintf("cypherface_people{environment=\"sandbox\"} %d\n", crowdSize)) {
		t.Error("the people are not loaded")
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the daemon ended with %v", err)
	}
	t.Logf("RSS %d MB", rss>>20)
	limit := uint64(rssLimit)
	if pack, err := models.Default(packs); err != nil {
		t.Fatal(err)
	} else if pack.Name == "basic" {
		limit += rssBasic
	}
	if uint64(rss) > limit {
		t.Errorf("RSS is %d MB, more than %d", rss>>20, limit>>20)
	}
}

// startChild runs a daemon in a process of its own.
func startChild(t *testing.T, args ...string) (cmd *exec.Cmd, url string) {
	t.Helper()
	cmd = exec.Command(os.Args[0], append([]string{childWord, "--listen", "127.0.0.1:0", "--packs", packs, "--rate-key", "0", "--rate-address", "0"}, args...)...)
	logs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // gone already, if all went well
	return cmd, awaitReady(t, logs)
}

// awaitReady reads the log to the line that names the URL, and goes on reading
// in the background so that the daemon is not held up.
func awaitReady(t *testing.T, logs io.Reader) string {
	t.Helper()
	ready := regexp.MustCompile(`msg=ready url=(\S+)`)
	lines := bufio.NewScanner(logs)
	var seen []string
	for lines.Scan() {
		seen = append(seen, lines.Text())
		if m := ready.FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, logs) }()
			return m[1]
		}
	}
	t.Fatalf("not ready:\n%s", strings.Join(seen, "\n"))
	return ""
}

func residentBytes(t *testing.T, pid int) int64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(raw)
	if m == nil {
		t.Fatalf("no VmRSS in %s", raw)
	}
	kb, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}
