// Stands in for kubernetes-csi/node-driver-registrar, which is not published as a Go module: announces the driver to
// kubelet by the API of plugin registration. The flags are those of the original as far as the manifests use them.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

type server struct {
	registration.UnimplementedRegistrationServer
	info *registration.PluginInfo
}

func (s *server) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return s.info, nil
}

// NotifyRegistrationStatus ends the process when kubelet refused the driver, as the original does: its container is then restarted.
func (s *server) NotifyRegistrationStatus(_ context.Context, status *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	if !status.PluginRegistered {
		log.Fatalf("kubelet refused the driver: %s", status.Error)
	}
	log.Print("kubelet registered the driver")
	return &registration.RegistrationStatusResponse{}, nil
}

// driverName asks until the driver answers.
func driverName(address string) string {
	connection, err := grpc.NewClient("unix://"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		info, err := csi.NewIdentityClient(connection).GetPluginInfo(ctx, &csi.GetPluginInfoRequest{}, grpc.WaitForReady(true))
		cancel()
		if err == nil {
			return info.GetName()
		}
		log.Printf("GetPluginInfo: %v", err)
	}
}

// serveHealth answers /healthz: whether a registrar of the driver answers at the socket. Source: node-driver-registrar,
// cmd/csi-node-driver-registrar/node_register.go.
func serveHealth(endpoint, socket, name string) {
	http.HandleFunc("/healthz", func(response http.ResponseWriter, request *http.Request) {
		if _, err := os.Stat(socket); err != nil {
			http.Error(response, "registration socket does not exist", http.StatusNotFound)
			return
		}
		connection, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			http.Error(response, err.Error(), http.StatusInternalServerError)
			return
		}
		defer connection.Close()
		ctx, cancel := context.WithTimeout(request.Context(), time.Second)
		defer cancel()
		info, err := registration.NewRegistrationClient(connection).GetInfo(ctx, &registration.InfoRequest{})
		if err != nil || info.GetName() != name {
			http.Error(response, "no registrar of the driver answers", http.StatusInternalServerError)
			return
		}
		fmt.Fprint(response, "ok")
	})
	log.Fatal(http.ListenAndServe(endpoint, nil))
}

func main() {
	address := flag.String("csi-address", "/run/csi/socket", "the driver's socket")
	seen := flag.String("kubelet-registration-path", "", "the driver's socket as kubelet sees it")
	directory := flag.String("plugin-registration-path", "/registration", "where kubelet looks for sockets of plugins")
	endpoint := flag.String("http-endpoint", "", "address of /healthz; none: it is not served")
	flag.Int("v", 0, "ignored: verbosity of the original's log")
	flag.Parse()
	name := driverName(*address)
	socket := filepath.Join(*directory, name+"-reg.sock")
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		log.Fatal(err)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		log.Fatal(err)
	}
	registrar := grpc.NewServer()
	registration.RegisterRegistrationServer(registrar, &server{info: &registration.PluginInfo{
		Type: registration.CSIPlugin, Name: name, Endpoint: *seen, SupportedVersions: []string{"1.0.0"},
	}})
	if *endpoint != "" {
		go serveHealth(*endpoint, socket, name)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-stop
		registrar.Stop()
		os.Remove(socket)
	}()
	if err := registrar.Serve(listener); err != nil {
		log.Fatal(err)
	}
}
