// Stands in for kubernetes-csi/node-driver-registrar, which is not published as a Go module: announces the driver to
// kubelet by the API of plugin registration. The flags are those of the original as far as the manifests use them.
package main

import (
	"context"
	"flag"
	"log"
	"net"
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

func main() {
	address := flag.String("csi-address", "/run/csi/socket", "the driver's socket")
	seen := flag.String("kubelet-registration-path", "", "the driver's socket as kubelet sees it")
	directory := flag.String("plugin-registration-path", "/registration", "where kubelet looks for sockets of plugins")
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
