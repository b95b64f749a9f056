// Stands in for kubernetes-csi/livenessprobe, which is not published as a Go module: answers /healthz with the driver's
// answer to Probe. The flags are those of the original as far as the manifests use them.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func main() {
	address := flag.String("csi-address", "/run/csi/socket", "the driver's socket")
	timeout := flag.Duration("probe-timeout", time.Second, "time for one Probe")
	endpoint := flag.String("http-endpoint", "", "address of /healthz")
	flag.Int("v", 0, "ignored: verbosity of the original's log")
	flag.Parse()
	connection, err := grpc.NewClient("unix://"+*address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	identity := csi.NewIdentityClient(connection)
	http.HandleFunc("/healthz", func(response http.ResponseWriter, request *http.Request) {
		ctx, cancel := context.WithTimeout(request.Context(), *timeout)
		defer cancel()
		answer, err := identity.Probe(ctx, &csi.ProbeRequest{})
		if err != nil {
			log.Printf("Probe: %v", err)
			http.Error(response, err.Error(), http.StatusInternalServerError)
			return
		}
		// Absent means ready. Source: CSI specification, Probe.
		if ready := answer.GetReady(); ready != nil && !ready.GetValue() {
			http.Error(response, "not ready", http.StatusInternalServerError)
			return
		}
		fmt.Fprint(response, "ok")
	})
	log.Fatal(http.ListenAndServe(*endpoint, nil))
}
