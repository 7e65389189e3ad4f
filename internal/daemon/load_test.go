package daemon

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/models"
)

var loadFor = flag.Duration("load", 0, "measure the API for so long with each call (make load)")

// times are how long calls took.
type times []time.Duration

func (t times) at(share float64) time.Duration {
	slices.Sort(t)
	return t[min(len(t)-1, int(share*float64(len(t))))]
}

// String is the tenth, the median and the last percentile, in milliseconds.
func (t times) String() string {
	ms := func(share float64) float64 { return t.at(share).Seconds() * 1000 }
	return fmt.Sprintf("%.2f\t%.2f\t%.2f\t", ms(.1), ms(.5), ms(.99))
}

// repeat calls fn from some goroutines until the time is over. fn returns how long
// what counts of it took.
func repeat(t *testing.T, callers int, limit time.Duration, fn func(caller int) time.Duration) (times, time.Duration) {
	var mu sync.Mutex
	var all times
	var wg sync.WaitGroup
	begin := time.Now()
	for c := range callers {
		wg.Go(func() {
			for time.Since(begin) < limit && !t.Failed() {
				took := fn(c)
				mu.Lock()
				all = append(all, took)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all, time.Since(begin)
}

// bare is the engine without a box around it, in the same process.
func bare(t *testing.T, raw []byte) (detect, match func(int) time.Duration) {
	t.Helper()
	pack, err := models.Default(packs)
	if err != nil {
		t.Fatal(err)
	}
	e, networks, err := tflite.OpenEngine(pack, tflite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { networks.Close() })
	find := func() (*picture.Picture, []engine.Face) {
		p, err := picture.Decode(raw, picture.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		faces, err := e.Detect(context.Background(), p.Image)
		if err != nil {
			t.Fatal(err)
		}
		return p, faces
	}
	p, faces := find()
	enrolled, err := e.Embed(context.Background(), p.Image, faces[0])
	if err != nil {
		t.Fatal(err)
	}
	detect = func(int) time.Duration {
		begin := time.Now()
		find()
		return time.Since(begin)
	}
	match = func(int) time.Duration {
		begin := time.Now()
		p, faces := find()
		probe, err := e.Embed(context.Background(), p.Image, faces[0])
		if err != nil || engine.Compare(probe, enrolled) < 0.9 {
			t.Error(err)
		}
		return time.Since(begin)
	}
	return detect, match
}

// TestLoad prints what the API takes on loopback beside the bare engine, by turns
// in one run. It asserts nothing about time.
func TestLoad(t *testing.T) {
	if *loadFor == 0 {
		t.Skip("make load measures")
	}
	d := start(t, shortDir(t), "--camera", "none:")
	const callers = 4
	users := make([]string, callers)
	for i := range users {
		users[i] = d.enrol(fmt.Sprint("u", i), mate)
	}
	raw, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	var form bytes.Buffer
	mw := multipart.NewWriter(&form)
	part, _ := mw.CreateFormFile("image", "a.png") // into memory
	_, _ = part.Write(raw)
	_ = mw.Close()
	client := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	ask := func(method, url, contentType, body string, header ...string) (time.Duration, string) {
		req, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		req.Header.Set("Content-Type", contentType)
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		begin := time.Now()
		resp, err := client.Do(req)
		if err != nil {
			t.Error(err)
			return 0, ""
		}
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		took := time.Since(begin)
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("%s %s: status %d: %s, %v", method, url, resp.StatusCode, answer, err)
		}
		return took, string(answer)
	}
	key := "Bearer " + d.boot.APIKey
	token := func(int) time.Duration {
		took, _ := ask("POST", d.url+"/api/access-token/", "", "", "merchantId", string(d.boot.MerchantID), "x-api-key", d.boot.APIKey)
		return took
	}
	detect := func(int) time.Duration {
		took, _ := ask("POST", d.url+"/api/face/detect/", mw.FormDataContentType(), form.String(), "Authorization", key)
		return took
	}
	match := func(caller int) time.Duration { // the upload before it is not counted
		_, link := ask("POST", d.url+"/api/upload/generate-url/", "application/json", `{"userId":"`+users[caller]+`","imageName":"a.png","contentType":"image/png","type":"match"}`, "Authorization", key)
		ask("PUT", field(t, link, "url"), "image/png", string(raw))
		took, answer := ask("POST", d.url+"/api/face/match/", "application/json", `{"userId":"`+users[caller]+`"}`, "Authorization", key)
		if !strings.Contains(answer, `"match":true`) {
			t.Error(answer)
		}
		return took
	}
	bareDetect, bareMatch := bare(t, raw)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	fmt.Fprintln(w, "call\tcallers\tcalls/s\tp10 ms\tp50 ms\tp99 ms\t")
	row := func(name string, n int, fn func(int) time.Duration) times {
		all, took := repeat(t, n, *loadFor, fn)
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%s\n", name, n, float64(len(all))/took.Seconds(), all)
		return all
	}
	row("bare engine: detect", 1, bareDetect)
	row("POST /face/detect", 1, detect)
	// By turns, so that both see the same machine.
	var over, under times
	for range 5 {
		one, _ := repeat(t, 1, *loadFor/5, bareMatch)
		two, _ := repeat(t, 1, *loadFor/5, match)
		under, over = append(under, one...), append(over, two...)
	}
	fmt.Fprintf(w, "bare engine: detect, embed, compare\t1\t\t%s\n", under)
	fmt.Fprintf(w, "POST /face/match\t1\t\t%s\n", over)
	more := func(share float64) float64 { return (over.at(share) - under.at(share)).Seconds() * 1000 }
	fmt.Fprintf(w, "the API adds to a match\t\t\t%.2f\t%.2f\t\t\n", more(.1), more(.5))
	for _, n := range []int{1, callers} {
		row("POST /access-token", n, token)
		if n > 1 {
			row("bare engine: detect", n, bareDetect)
			row("POST /face/detect", n, detect)
			row("POST /face/match, with its upload before", n, match)
		}
	}
}
