import type { Client } from "ssh2";

/** Uploads a file into the root of the device by SFTP. @throws what the server or the client says */
export function upload(client: Client, name: string, content: string): Promise<void> {
  return new Promise((resolve, reject) => {
    client.sftp((error, sftp) => {
      if (error !== undefined) {
        reject(error);
        return;
      }
      sftp.writeFile(name, content, (failure) => {
        sftp.end();
        if (failure === undefined || failure === null) resolve();
        else reject(failure);
      });
    });
  });
}
